package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/littlevote/littlevote/libs/pgledger"
)

const (
	instances = 3
	busy      = 8 * time.Second // while votes are cast and things fail
)

// plan is what a seed makes of a schedule.
type plan struct {
	limit    int  // votes a voter; 0: none, and no voters
	each     bool // the limit counts each candidate by itself, and no vote needs a ticket
	changes  bool // voters change their minds
	open     bool
	cap      int64
	interval time.Duration
	requests int

	replicated bool
	redisAway  []span
	kafkaAway  []span
	pgAway     []span
	cut        [instances][]span
	sick       [instances][]span
	old        [instances][]span
	failovers  []failover
	kills      []kill
	held       []span

	lostRequest, lostReply, lostProduce, lostCommit, pgFails, zombies float64

	rebalance time.Duration
	wrong     variant
	what      []string
}

// failover makes a new Redis out of the state of a while ago, or out of nothing.
type failover struct {
	at, lag time.Duration
	empty   bool
}

// kill ends an instance, which comes back.
type kill struct {
	at, back time.Duration
	n        int
	graceful bool
}

// variant is a known-wrong system.
type variant struct {
	tables      wrong
	offsetFirst bool
	sameReplid  bool
	noSwitch    bool
}

func newPlan(seed uint64, wrong variant) plan {
	r := rand.New(rand.NewPCG(seed, 1))
	some := func(most float64) float64 {
		if r.IntN(2) == 0 {
			return 0
		}
		return r.Float64() * most
	}
	p := plan{
		limit: []int{0, 0, 1, 2, 3}[r.IntN(5)], open: r.IntN(2) == 0,
		cap: []int64{pgledger.NoCap, 3, 10, 40}[r.IntN(4)], interval: time.Duration(500+r.IntN(2500)) * time.Millisecond,
		requests:    20 + r.IntN(40),
		lostRequest: some(.04), lostReply: some(.04), lostProduce: some(.2), lostCommit: some(.15), pgFails: some(.05), zombies: some(.2),
		rebalance: time.Duration(500+r.IntN(4000)) * time.Millisecond,
		wrong:     wrong,
	}
	for range r.IntN(5) {
		p.fault(r)
	}
	switch seed % 4 { // by themselves, so that all other schedules are what they always were
	case 2:
		p.each = p.limit > 0
	case 3:
		p.changes = true
	}
	return p
}

// fault adds one thing that goes wrong.
func (p *plan) fault(r *rand.Rand) {
	at := 300*time.Millisecond + rand3(r, busy)
	s := span{at, at + 50*time.Millisecond + rand3(r, 4*time.Second)}
	n := r.IntN(instances)
	kind := []string{"redis-away", "kafka-away", "postgres-away", "cut", "sick", "failover", "failover", "empty", "kill", "stop", "held"}[r.IntN(11)]
	switch kind {
	case "redis-away":
		p.redisAway = append(p.redisAway, s)
	case "kafka-away":
		p.kafkaAway = append(p.kafkaAway, s)
		if r.IntN(3) == 0 {
			p.pgAway = append(p.pgAway, span{s.from + rand3(r, time.Second), s.to})
		}
	case "postgres-away":
		p.pgAway = append(p.pgAway, s)
	case "cut":
		p.cut[n] = append(p.cut[n], s)
	case "sick":
		p.sick[n] = append(p.sick[n], s)
	case "failover":
		p.replicated = true
		p.failovers = append(p.failovers, failover{at: at, lag: rand3(r, 300*time.Millisecond)})
		for i := range instances {
			if r.IntN(2) == 0 {
				p.old[i] = append(p.old[i], span{at, at + rand3(r, 6*time.Second)})
			}
		}
	case "empty":
		p.failovers = append(p.failovers, failover{at: at, empty: true})
	case "kill", "stop":
		p.kills = append(p.kills, kill{at: at, back: at + rand3(r, 5*time.Second), n: n, graceful: kind == "stop"})
	case "held":
		p.held = append(p.held, s)
	}
	p.what = append(p.what, fmt.Sprintf("%s %s–%s", kind, s.from.Round(time.Millisecond), s.to.Round(time.Millisecond)))
}

func (p *plan) String() string {
	return fmt.Sprintf("%d requests, limit %d (each %t), changes %t, open list %t, cap %d, lost: request %.2f reply %.2f produce %.2f commit %.2f; %s",
		p.requests, p.limit, p.each, p.changes, p.open, p.cap, p.lostRequest, p.lostReply, p.lostProduce, p.lostCommit, strings.Join(p.what, "; "))
}

func (p *plan) ballot() pgledger.Ballot {
	b := pgledger.Ballot{Name: ballotName, State: "open", RulesVersion: 1, VotesPerVoter: p.limit, MaxCandidates: 6, Visibility: pgledger.VisibleAlways}
	b.PerCandidate, b.Ticketless = p.each, p.each
	if !p.open {
		b.Candidates = []string{"A", "B", "C"}
	}
	return b
}
