package redisledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/libs/faultpoint"
)

// Ballot is what the scripts need to know of a ballot, and what its ledger begins an epoch with.
type Ballot struct {
	Name          string
	State         string // admission needs "open"
	OpensAt       time.Time
	ClosesAt      time.Time     // zero means no bound, like OpensAt
	VotesPerVoter int64         // 0: no limit, and no voter is needed
	VoterPeriod   time.Duration // the limit is for each window of this length since 1970, by Redis TIME; 0: for good
	PerCandidate  bool          // the limit is for each candidate, and a vote names exactly one
	Ticketless    bool          // no vote needs a ticket, nor takes a use of one
	HotFor        time.Duration // for so long after the time that an item's id tells, its voters need no look-up; 0: never
	Rules         int64         // of all of the above; later rules have a greater one
	Admissions    int64         // the last admission number
	Counts        []Count
	// HotVotes yields every vote that counts and whose candidate is an item's id from fromID on (see ItemID): the newest item
	// first, voter by voter. It may return ErrNotAll in the middle: then no item is hot that is as old as the last one
	// yielded. Needed where HotFor is set; without it none is that was made before the load.
	HotVotes func(ctx context.Context, fromID string, yield func(voter, candidate string, vote uuid.UUID) error) error
}

// ErrNotAll is what HotVotes returns if there is no time for the rest.
var ErrNotAll = errors.New("redisledger: not all hot votes are loaded")

// ItemID is the first id of an item that was made at a time: 16 digits, so that their order is that of the numbers, of which
// 4096 belong to one millisecond.
func ItemID(made time.Time) string { return fmt.Sprintf("%016d", made.UnixMilli()<<12) }

// loadChunk is how much a script writes at once.
const loadChunk = 500

// NewNS returns a fresh random name for an epoch's keys.
func NewNS() string { return strings.ToLower(rand.Text()[:16]) }

// Load writes a ballot under a fresh name. Until the last script has found that the node is still the one of the first,
// every other script on the ballot says WRONG_EPOCH. fresh says that no vote was ever admitted before, so that no key and
// no voter needs a look-up on that account.
func (l *Ledger) Load(ctx context.Context, f Fence, b Ballot, fresh bool) error {
	k := f.Keys(b.Name)
	begun := l.one(ctx, beginCall(f, b, fresh))
	if begun.err != nil {
		return fmt.Errorf("redisledger: load %s: %w", b.Name, begun.err)
	}
	if from := begun.rest[0].(string); from != "" {
		if err := l.loadVoters(ctx, f, b, from); err != nil {
			return fmt.Errorf("redisledger: load %s: %w", b.Name, err)
		}
	}
	for from := 0; from < len(b.Counts); from += loadChunk {
		if err := l.loadCounts(ctx, f, k, b.Counts[from:min(from+loadChunk, len(b.Counts))]); err != nil {
			return fmt.Errorf("redisledger: load %s: %w", b.Name, err)
		}
	}
	if err := l.one(ctx, call{finishScript, []string{k.marker()}, []any{f.Epoch}}).err; err != nil {
		return fmt.Errorf("redisledger: load %s: %w", b.Name, err)
	}
	return nil
}

func beginCall(f Fence, b Ballot, fresh bool) call {
	return call{beginScript, []string{f.Keys(b.Name).marker()}, append([]any{f.Epoch, fresh, b.Admissions}, append(b.rules(), b.HotVotes != nil)...)}
}

// rules are what a marker holds of a ballot's rules.
func (b *Ballot) rules() []any {
	return []any{b.Rules, b.State, millis(b.OpensAt), millis(b.ClosesAt), b.voterRules()}
}

// voterRules is what voter_rules in common.lua reads.
func (b *Ballot) voterRules() string {
	limit := ""
	if b.VotesPerVoter > 0 {
		limit = strconv.FormatInt(b.VotesPerVoter, 10)
	}
	if b.VoterPeriod == 0 && !b.PerCandidate && !b.Ticketless && b.HotFor == 0 {
		return limit
	}
	return fmt.Sprintf("%s %d %d %d %d", limit, b.VoterPeriod.Milliseconds(), flag(b.PerCandidate), flag(b.Ticketless), b.HotFor.Milliseconds())
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// LoadNew makes the marker of a ballot that is new in this epoch. Call it only for a ballot that no epoch has ever held a vote
// of: a marker that is missing for another reason means that the epoch's ledger is lost. open must say that the epoch is
// still open; it is asked after the marker was begun, so that the end of the epoch finds the marker and seals it, or the marker is
// never finished.
func (l *Ledger) LoadNew(ctx context.Context, f Fence, b Ballot, open func(ctx context.Context) error) error {
	if err := l.one(ctx, beginCall(f, b, true)).err; err != nil {
		return fmt.Errorf("redisledger: load %s: %w", b.Name, err)
	}
	if err := open(ctx); err != nil {
		return fmt.Errorf("redisledger: load %s: %w", b.Name, err)
	}
	if err := l.one(ctx, call{finishScript, []string{f.Keys(b.Name).marker()}, []any{f.Epoch}}).err; err != nil {
		return fmt.Errorf("redisledger: load %s: %w", b.Name, err)
	}
	return nil
}

// PutRules brings a ballot's marker newer rules: state, times, limit of votes. Older ones than it has change nothing.
func (l *Ledger) PutRules(ctx context.Context, f Fence, b Ballot) error {
	return l.one(ctx, call{rulesScript, []string{f.Keys(b.Name).marker()}, append([]any{f.Epoch}, b.rules()...)}).err
}

func (l *Ledger) loadCounts(ctx context.Context, f Fence, k Keys, counts []Count) error {
	args := make([]any, 0, 1+3*len(counts))
	args = append(args, f.Epoch)
	for _, c := range counts {
		args = append(args, c.Name, c.Votes, c.UpdatedAt.UnixMilli())
	}
	return l.one(ctx, call{countsScript, []string{k.marker(), k.tally(), k.updated(), k.names()}, args}).err
}

func millis(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprint(t.UnixMilli())
}

// Seal ends a ballot's keys under a name for good. If they are gone, a tombstone sees to it that they do not come back.
func (l *Ledger) Seal(ctx context.Context, f Fence, ballot string) error {
	r := l.one(ctx, call{script: sealScript, keys: []string{f.Keys(ballot).marker()}})
	return r.err
}

// Alive reports whether the ballot's keys still hold the epoch's ledger; ErrWrongEpoch if they do not.
func (l *Ledger) Alive(ctx context.Context, f Fence, ballot string) error {
	_, err := l.Ticket(ctx, f, ballot)
	return err
}

// Replication is what a Redis says of its role, or all masters of a cluster.
type Replication struct {
	Master   bool
	Replicas bool // at least one is connected to one of them
}

// Replication asks the Redis for its role; one without replication is a master.
func (l *Ledger) Replication(ctx context.Context) (Replication, error) {
	all := Replication{Master: true}
	var mu sync.Mutex
	err := l.eachMaster(ctx, func(ctx context.Context, node redis.UniversalClient) error {
		r, err := role(ctx, node)
		mu.Lock()
		defer mu.Unlock()
		all.Master = all.Master && r.Master
		all.Replicas = all.Replicas || r.Replicas
		return err
	})
	return all, err
}

// role asks one node. One that evicts keys is none: it would forget votes.
func role(ctx context.Context, node redis.UniversalClient) (Replication, error) {
	replication, err := info(ctx, node, "replication")
	if err != nil {
		return Replication{}, err
	}
	memory, err := info(ctx, node, "memory")
	if err != nil {
		return Replication{}, err
	}
	if policy := memory["maxmemory_policy"]; policy != "" && policy != "noeviction" && !faultpoint.Mutant("evicting-redis") {
		return Replication{}, fmt.Errorf("redisledger: this Redis evicts keys when memory is short: maxmemory-policy is %s, expected noeviction", policy)
	}
	return Replication{Master: replication["role"] != "slave", Replicas: replication["connected_slaves"] != "0" && replication["connected_slaves"] != ""}, nil
}

// info asks a node about itself; it knows nothing where the node refuses to tell.
func info(ctx context.Context, node redis.UniversalClient, section string) (map[string]string, error) {
	text, err := node.Info(ctx, section).Result()
	var refused redis.Error
	if err != nil && !errors.As(err, &refused) {
		return nil, err
	}
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields[key] = value
	}
	return fields, nil
}

// Unlink deletes every key of a name that no epoch uses any more.
func (l *Ledger) Unlink(ctx context.Context, ns string) error {
	return l.eachMaster(ctx, func(ctx context.Context, node redis.UniversalClient) error {
		iter := node.Scan(ctx, 0, Pattern(ns), 1000).Iterator()
		for iter.Next(ctx) {
			if err := node.Unlink(ctx, iter.Val()).Err(); err != nil {
				return fmt.Errorf("redisledger: unlink %s: %w", ns, err)
			}
		}
		return iter.Err()
	})
}
