package sim

import (
	"context"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/redisledger/ledgermodel"
)

// patience is how long everything may take to come to rest once nothing fails any more.
const patience = 2 * time.Minute

// rest waits until nothing is left to be done; it returns what is, or "".
func (w *world) rest() (left string) {
	for end := time.Now().Add(patience); ; {
		if left = w.left(); left == "" || time.Now().After(end) {
			return left
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (w *world) left() string {
	w.pg.mu.Lock()
	defer w.pg.mu.Unlock()
	for p := range int32(partitions) {
		if w.pg.offsets[p].next < w.log.end(p) {
			return "records in the log are not applied"
		}
	}
	if w.pg.epoch.State != "open" {
		return "no epoch is open"
	}
	if w.pg.epoch.Mode == string(epoch.Postgres) {
		return ""
	}
	w.redis.mu.Lock()
	defer w.redis.mu.Unlock()
	_, oldest, err := w.primary().Due(context.Background(), w.fence(), ballotName, 0, 1)
	switch {
	case err != nil:
		return "Redis is not the ledger of the epoch: " + err.Error()
	case oldest >= 0:
		return "a batch stands in the outbox"
	}
	return ""
}

func (w *world) primary() *ledgermodel.Ledger { return w.redis.nodes[len(w.redis.nodes)-1] }

func (w *world) fence() redisledger.Fence {
	return redisledger.Fence{Epoch: w.pg.epoch.Number, NS: w.pg.epoch.NS}
}

// judge holds the ledger against what was said.
func (w *world) judge() {
	w.pg.mu.Lock()
	defer w.pg.mu.Unlock()
	batches := map[uuid.UUID]map[uuid.UUID]bool{} // of a vote
	choices := map[uuid.UUID]map[string]int64{}
	sums := map[string]int64{}
	uses := map[string]map[uuid.UUID]bool{}
	for _, row := range w.pg.logs {
		if batches[row.vote] == nil {
			batches[row.vote], choices[row.vote] = map[uuid.UUID]bool{}, map[string]int64{}
		}
		batches[row.vote][row.batch] = true
		choices[row.vote][row.candidate] += row.delta
		sums[row.candidate] += row.delta
		if row.ticket != "" {
			if uses[row.ticket] == nil {
				uses[row.ticket] = map[uuid.UUID]bool{}
			}
			uses[row.ticket][row.vote] = true
		}
	}
	w.judgeRequests(batches, choices)
	if w.pg.movedBack {
		w.fail("an offset has moved back")
	}
	w.judgeCounts(sums)
	for ticket, votes := range uses {
		if w.plan.cap >= 0 && int64(len(votes)) > w.plan.cap {
			w.fail("ticket %s has %d votes, its cap is %d", ticket, len(votes), w.plan.cap)
		}
	}
	perVoter := map[string]int{}
	for at, row := range w.pg.voters {
		if row.retracted {
			continue
		}
		if w.plan.each {
			at.voter += " for " + row.candidate
		}
		perVoter[at.voter]++
	}
	for voter, n := range perVoter {
		if w.plan.limit > 0 && n > w.plan.limit {
			w.fail("%s has %d votes, the limit is %d", voter, n, w.plan.limit)
		}
	}
}

func (w *world) judgeRequests(batches map[uuid.UUID]map[uuid.UUID]bool, choices map[uuid.UUID]map[string]int64) {
	for _, v := range w.votes {
		in := len(batches[v.id])
		mine := in > 0 && maps.Equal(choices[v.id], v.choices)
		switch {
		case in > 1:
			w.fail("%s counts in %d batches", v, in)
		case v.counted && !mine:
			w.fail("%s was acknowledged; the ledger has %v", v, choices[v.id])
		case !v.unknown && !v.counted && mine:
			w.fail("%s was refused each time, and counts", v)
		}
	}
	known := map[uuid.UUID]bool{}
	for _, v := range w.votes {
		known[v.id] = true
	}
	for id := range batches {
		if !known[id] {
			w.fail("nobody has sent %s, which counts", id)
		}
	}
}

func (w *world) judgeCounts(sums map[string]int64) {
	for n, row := range w.pg.tallies {
		if row.Votes != sums[n.name] {
			w.fail("Postgres counts %d for %s, its ledger says %d", row.Votes, n.name, sums[n.name])
		}
	}
	if w.pg.epoch.Mode != string(epoch.Redis) || w.pg.epoch.State != "open" {
		return
	}
	w.redis.mu.Lock()
	defer w.redis.mu.Unlock()
	counts, _, err := w.primary().Tally(context.Background(), w.fence(), ballotName, nil)
	if err != nil {
		return // told by rest
	}
	in := map[string]int64{}
	for _, c := range counts {
		in[c.Name] = c.Votes
	}
	for c := range sums {
		if in[c] != sums[c] {
			w.fail("Redis counts %d for %s, the ledger says %d", in[c], c, sums[c])
		}
	}
}
