package redisledger_test

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

// bench is a ballot under a fresh name, on whichever Redis the environment gives.
type bench struct {
	t      *testing.T
	rdb    redis.UniversalClient
	ledger *redisledger.Ledger
	fence  redisledger.Fence
	ballot string
}

func newBench(t *testing.T, limit int64, interval time.Duration) *bench {
	t.Helper()
	rdb, err := redisledger.Open(testenv.Redis(t), 50, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	b := &bench{t: t, rdb: rdb, ledger: redisledger.New(rdb), ballot: "main"}
	b.fence = redisledger.Fence{Epoch: 7, NS: redisledger.NewNS()}
	t.Cleanup(func() { _ = b.ledger.Unlink(contextOf(t), b.fence.NS) })
	b.load(redisledger.Ballot{Name: b.ballot, State: "open"}, true)
	b.mint(limit, interval)
	return b
}

// newContest is an open ballot of these rules, without a ticket.
func newContest(t *testing.T, rules redisledger.Ballot, fresh bool) *bench {
	t.Helper()
	b := newBench(t, 1, time.Hour)
	b.open(rules, fresh)
	return b
}

// open makes a ballot under a fresh name the one of the bench.
func (b *bench) open(rules redisledger.Ballot, fresh bool) {
	b.t.Helper()
	b.fence.NS = redisledger.NewNS()
	ns := b.fence.NS
	b.t.Cleanup(func() { _ = b.ledger.Unlink(contextOf(b.t), ns) })
	rules.State, rules.Rules, b.ballot = "open", 1, rules.Name
	b.load(rules, fresh)
}

// clock is a bench on a Redis whose time the test sets.
type clock struct {
	*bench

	mini *miniredis.Miniredis
	now  time.Time
}

func newClock(t *testing.T, rules redisledger.Ballot, fresh bool) *clock {
	t.Helper()
	c := &clock{bench: &bench{t: t, fence: redisledger.Fence{Epoch: 7}}, mini: miniredis.RunT(t), now: time.UnixMilli(1_790_000_000_000)}
	c.mini.SetTime(c.now)
	rdb, err := redisledger.Open("redis://"+c.mini.Addr(), 4, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	c.rdb, c.ledger = rdb, redisledger.New(rdb)
	c.open(rules, fresh)
	return c
}

func (c *clock) pass(d time.Duration) {
	c.now = c.now.Add(d)
	c.mini.SetTime(c.now)
	c.mini.FastForward(max(0, d))
}

// batch is one of this clock's time, with the newest ticket or of retractions.
func (c *clock) batch(entries ...redisledger.Entry) *redisledger.Batch {
	b := newBatch(c.bench, 0, entries...)
	b.ID = uuidV7At(c.now)
	if entries[0].Retracts != uuid.Nil && !entries[0].Replaces {
		b.Tickets = nil
	}
	return b
}

// cast admits and settles entries, all of which have to be accepted.
func (c *clock) cast(entries ...redisledger.Entry) {
	c.t.Helper()
	batch := c.batch(entries...)
	v := c.admit(batch)
	if v.Accepted() != len(entries) {
		c.t.Fatalf("%+v", v.Entries)
	}
	c.settle(batch, v, nil)
}

// mark writes into the ballot's marker behind the scripts' back.
func (b *bench) mark(field, value string) {
	b.t.Helper()
	if err := b.rdb.HSet(b.t.Context(), "{"+b.ballot+"}:"+b.fence.NS+":marker", field, value).Err(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) load(ballot redisledger.Ballot, fresh bool) {
	b.t.Helper()
	if err := b.ledger.Load(b.t.Context(), b.fence, ballot, fresh); err != nil {
		b.t.Fatal(err)
	}
}

// mint makes the next ticket and returns its value.
func (b *bench) mint(limit int64, interval time.Duration) string {
	b.t.Helper()
	state, err := b.ledger.Ticket(b.t.Context(), b.fence, b.ballot)
	if err != nil {
		b.t.Fatal(err)
	}
	n := state.LastNumber + 1
	value := fmt.Sprintf("ticket-%d", n)
	done, _, _, err := b.ledger.Mint(b.t.Context(), b.fence, b.ballot, redisledger.Mint{
		Number: n, Version: fmt.Sprintf("7.%d.0", n), Value: value, Cap: limit, Interval: interval,
	})
	if err != nil || done != redisledger.MintDone {
		b.t.Fatalf("mint: %v %v", done, err)
	}
	return value
}

func newBatch(b *bench, votes int, entries ...redisledger.Entry) *redisledger.Batch {
	batch := &redisledger.Batch{
		ID: uuid.Must(uuid.NewV7()), Ballot: b.ballot, Payload: []byte("payload\nof many\x00bytes"),
		Tickets: []string{""}, Entries: entries,
	}
	if votes > 0 {
		batch.Groups = []redisledger.Group{{Votes: votes}}
	}
	return batch
}

func keyed(key uuid.UUID, body string) redisledger.Entry {
	hash := sha256.Sum256([]byte(body))
	return redisledger.Entry{Key: key[:], BodyHash: hash[:16]}
}

func (b *bench) admit(batch *redisledger.Batch) redisledger.Verdict {
	b.t.Helper()
	a, _ := b.ledger.Admit(b.t.Context(), b.fence, batch, 100, nil)
	if a.Err != nil {
		b.t.Fatal(a.Err)
	}
	return a.Verdict
}

func (b *bench) settlement(batch *redisledger.Batch, v redisledger.Verdict, counts map[string]int64) *redisledger.Settlement {
	s := &redisledger.Settlement{Fence: b.fence, ID: batch.ID, Ballot: b.ballot, AdmittedAt: v.At}
	for name, n := range counts {
		s.Names, s.Counts = append(s.Names, name), append(s.Counts, n)
	}
	return s
}

func (b *bench) votes(name string) int64 {
	b.t.Helper()
	counts, _, err := b.ledger.Tally(b.t.Context(), b.fence, b.ballot, []string{name})
	if err != nil {
		b.t.Fatal(err)
	}
	return counts[0].Votes
}

func (b *bench) left() int64 {
	b.t.Helper()
	state, err := b.ledger.Ticket(b.t.Context(), b.fence, b.ballot)
	if err != nil {
		b.t.Fatal(err)
	}
	return state.Newest.Left
}

func codes(v redisledger.Verdict) []redisledger.Code {
	var out []redisledger.Code
	for _, e := range v.Entries {
		out = append(out, e.Code)
	}
	return out
}
