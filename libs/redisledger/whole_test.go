package redisledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/redisledger"
)

// H35: what is left when somebody has deleted a key is not the ledger. Whoever misses the key ends it, for all.
func TestAKeyThatIsGoneEndsTheLedger(t *testing.T) {
	var waiting *redisledger.Settlement // of a batch that stands in the outbox
	ways := map[string]func(b *bench) error{
		"alive": func(b *bench) error { return b.ledger.Alive(b.t.Context(), b.fence, b.ballot) },
		"mint": func(b *bench) error {
			_, _, _, err := b.ledger.Mint(b.t.Context(), b.fence, b.ballot, redisledger.Mint{
				Number: 1, Version: "7.1.0", Value: "again", Cap: 10, Interval: time.Hour,
			})
			return err
		},
		"read": func(b *bench) error {
			_, _, err := b.ledger.Tally(b.t.Context(), b.fence, b.ballot, []string{"A"})
			return err
		},
		"cut": func(b *bench) error {
			_, err := b.ledger.Cut(b.t.Context(), b.fence, b.ballot)
			return err
		},
		"due": func(b *bench) error {
			_, _, err := b.ledger.Due(b.t.Context(), b.fence, b.ballot, 0, 10)
			return err
		},
		"settle": func(b *bench) error { return b.ledger.Settle(b.t.Context(), waiting).Err },
	}
	for _, c := range []struct {
		gone   []string
		missed []string
	}{
		{[]string{"ticket"}, []string{"alive", "mint"}},
		{[]string{"tally"}, []string{"read", "settle"}},
		{[]string{"updated"}, []string{"read", "settle"}},
		{[]string{"outbox"}, []string{"due", "cut", "settle"}},
		{[]string{"outboxTimes"}, []string{"due", "cut"}},
		{[]string{"outbox", "outboxTimes"}, []string{"settle"}},
	} {
		for _, way := range c.missed {
			b := newBench(t, 10, time.Hour)
			settled, left := newBatch(b, 2), newBatch(b, 3)
			if r := b.ledger.Settle(t.Context(), b.settlement(settled, b.admit(settled), map[string]int64{"A": 2})); !r.ByThis {
				t.Fatal(r)
			}
			waiting = b.settlement(left, b.admit(left), map[string]int64{"A": 3})
			for _, key := range c.gone {
				if n, err := b.rdb.Del(t.Context(), "{"+b.ballot+"}:"+b.fence.NS+":"+key).Result(); err != nil || n != 1 {
					t.Fatal(key, n, err)
				}
			}
			for _, who := range []string{way, "alive", "settle"} {
				if err := ways[who](b); !errors.Is(err, redisledger.ErrWrongEpoch) {
					t.Errorf("%v gone, noticed by %s: %s says %v", c.gone, way, who, err)
				}
			}
		}
	}
}

// What a batch became is forgotten after a time: whoever asks then is late, and nothing is lost.
func TestWhoSettlesVeryLateEndsNothing(t *testing.T) {
	c := newClock(t, redisledger.Ballot{Name: "main"}, true)
	c.mint(10, 24*time.Hour)
	batch := newBatch(c.bench, 1)
	batch.ID = uuidV7At(c.now)
	s := c.settlement(batch, c.admit(batch), map[string]int64{"A": 1})
	if r := c.ledger.Settle(t.Context(), s); !r.ByThis {
		t.Fatal(r)
	}
	c.pass(redisledger.DoneTTL)
	if r := c.ledger.Settle(t.Context(), s); r.Err != nil || r.How != redisledger.Unknown || c.votes("A") != 1 {
		t.Errorf("%+v", r)
	}
}
