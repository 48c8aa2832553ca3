package redisledger_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

// H7, H10, H11: no script acts on a ledger that is not the epoch's.
func TestEveryScriptIsFenced(t *testing.T) {
	for name, spoil := range map[string]func(b *bench){
		"another epoch": func(b *bench) { b.fence.Epoch++ },
		"another name":  func(b *bench) { b.fence.NS = redisledger.NewNS() },
		"sealed": func(b *bench) {
			if err := b.ledger.Seal(b.t.Context(), b.fence, b.ballot); err != nil {
				b.t.Fatal(err)
			}
		},
		"another primary": func(b *bench) { b.mark("replid", "0123456789012345678901234567890123456789") },
		"being loaded":    func(b *bench) { b.mark("loading", "1") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 10, time.Hour)
			batch := newBatch(b, 1)
			v := b.admit(batch)
			spoil(b)
			a, s := b.ledger.Admit(t.Context(), b.fence, newBatch(b, 1), 10, b.settlement(batch, v, map[string]int64{"A": 1}))
			_, _, claim := b.ledger.Claim(t.Context(), b.fence, b.ballot, batch.ID, "me")
			_, refund := b.ledger.Refund(t.Context(), b.fence, batch, &v)
			_, _, due := b.ledger.Due(t.Context(), b.fence, b.ballot, 0, 1)
			_, _, tally := b.ledger.Tally(t.Context(), b.fence, b.ballot, nil)
			_, ticket := b.ledger.Ticket(t.Context(), b.fence, b.ballot)
			_, _, _, mint := b.ledger.Mint(t.Context(), b.fence, b.ballot, redisledger.Mint{Number: 2})
			_, voted := b.ledger.Voted(t.Context(), b.fence, b.ballot, "ann", nil)
			_, state := b.ledger.VoterState(t.Context(), b.fence, b.ballot, "ann", "")
			_, _, cold := b.ledger.ColdVoters(t.Context(), b.fence, b.ballot, 0, 1)
			_, evict := b.ledger.EvictVoters(t.Context(), b.fence, b.ballot, []redisledger.ColdVoter{{Field: "ann"}})
			set := b.ledger.SetCounts(t.Context(), b.fence, b.ballot, 9, nil)
			for what, err := range map[string]error{
				"voted": voted, "state": state, "cold": cold, "evict": evict, "set counts": set,
				"admit": a.Err, "settle": s.Err, "claim": claim, "refund": refund, "due": due, "tally": tally,
				"ticket": ticket, "mint": mint,
			} {
				if err != redisledger.ErrWrongEpoch { //nolint:errorlint // the sentinel itself
					t.Errorf("%s: %v", what, err)
				}
			}
			if _, ok := b.ledger.Known(t.Context(), b.fence, b.ballot, batch.ID); ok {
				t.Error("known")
			}
		})
	}
}

func TestLoadedCountsAreTheBase(t *testing.T) {
	b := newBench(t, 10, time.Hour)
	b.fence.NS = redisledger.NewNS()
	at := time.UnixMilli(1_700_000_000_123)
	var counts []redisledger.Count
	for i := range 1200 {
		counts = append(counts, redisledger.Count{Name: fmt.Sprintf("n%d", i), Votes: 1<<53 + int64(i), UpdatedAt: at})
	}
	b.load(redisledger.Ballot{Name: b.ballot, State: "open", Admissions: 41, Counts: counts}, false)
	b.mint(10, time.Hour)
	batch := newBatch(b, 1)
	v := b.admit(batch)
	if v.First != 42 {
		t.Fatalf("admission number %d, want 42", v.First)
	}
	r := b.ledger.Settle(t.Context(), b.settlement(batch, v, map[string]int64{"n1": 1}))
	if r.Err != nil || r.Totals[0] != 1<<53+2 {
		t.Fatalf("%+v: counts past 2^53 must stay exact", r)
	}
	all, _, err := b.ledger.Tally(t.Context(), b.fence, b.ballot, nil)
	if err != nil || len(all) != 1200 {
		t.Fatalf("%d counts, %v", len(all), err)
	}
	some, _, err := b.ledger.Tally(t.Context(), b.fence, b.ballot, []string{"n7", "nobody"})
	want := []redisledger.Count{{Name: "n7", Votes: 1<<53 + 7, UpdatedAt: at}, {Name: "nobody"}}
	if diff := cmp.Diff(want, some); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
}

func TestUnlinkLeavesNothing(t *testing.T) {
	b := newBench(t, 10, time.Hour)
	b.admit(newBatch(b, 1, keyed(uuid.Must(uuid.NewV7()), "x")))
	if err := b.ledger.Unlink(t.Context(), b.fence.NS); err != nil {
		t.Fatal(err)
	}
	rdb, err := redisledger.Open(testenv.Redis(t), 5, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	keys, err := rdb.Keys(t.Context(), redisledger.Pattern(b.fence.NS)).Result()
	if err != nil || len(keys) != 0 {
		t.Fatalf("%v %v", keys, err)
	}
}

// Whatever is admitted, refunded, settled, in whatever order and however often: uses, outbox and tally add up.
func TestAnyScheduleAddsUp(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		const limit = 60
		b := newBench(t, limit, time.Hour)
		type held struct {
			batch   *redisledger.Batch
			verdict redisledger.Verdict
			claimed bool
		}
		var open, closed []*held
		var settled int64
		for range 80 {
			switch n := rng.IntN(5); {
			case n < 2 || len(open) == 0:
				batch := newBatch(b, rng.IntN(4)+1, keyed(uuid.Must(uuid.NewV7()), "x"))
				if v := b.admit(batch); v.Accepted() > 0 {
					open = append(open, &held{batch: batch, verdict: v})
				}
			case n == 2:
				h := open[rng.IntN(len(open))]
				h.claimed = true
				if _, _, err := b.ledger.Claim(t.Context(), b.fence, b.ballot, h.batch.ID, "x"); err != nil {
					t.Fatal(err)
				}
			default:
				i := rng.IntN(len(open))
				h := open[i]
				s := b.settlement(h.batch, h.verdict, map[string]int64{"A": int64(h.verdict.Accepted())})
				if n == 3 {
					if r := b.ledger.Settle(t.Context(), s); !r.ByThis {
						t.Fatalf("seed %d: %+v", seed, r)
					}
					settled += int64(h.verdict.Accepted())
				} else if ok, err := b.ledger.Refund(t.Context(), b.fence, h.batch, &h.verdict); err != nil || ok == h.claimed {
					t.Fatalf("seed %d: refund %v of claimed %v, %v", seed, ok, h.claimed, err)
				} else if !ok {
					continue
				}
				open = append(open[:i], open[i+1:]...)
				closed = append(closed, h)
			}
		}
		for _, h := range closed { // late repeats change nothing
			s := b.settlement(h.batch, h.verdict, map[string]int64{"A": int64(h.verdict.Accepted())})
			if r := b.ledger.Settle(t.Context(), s); r.Err != nil || r.ByThis {
				t.Fatalf("seed %d: %+v", seed, r)
			}
		}
		var waiting int64
		for _, h := range open {
			waiting += int64(h.verdict.Accepted())
		}
		if b.votes("A") != settled || b.left() != limit-settled-waiting {
			t.Fatalf("seed %d: tally %d, settled %d, waiting %d, left %d of %d", seed, b.votes("A"), settled, waiting, b.left(), limit)
		}
	}
}
