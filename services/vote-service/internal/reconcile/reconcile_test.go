package reconcile

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/services/vote-service/internal/town"
)

// H22: whatever step a batch is at, it is no drift; nor is it later, when it has gone on.
func TestH22BatchesOnTheirWayAreNoDrift(t *testing.T) {
	w := newWorld(t)
	w.Vote(town.Ballot, "A", 3)
	w.verifies()
	admitted := w.Admit(town.Ballot, "A", 10)
	w.verifies()
	appended := w.Admit(town.Ballot, "B", 20).Append()
	w.Persist()
	w.verifies()
	applied := w.Admit(town.Ballot, "C", 40).Apply()
	w.verifies()
	w.Vote(town.Ballot, "D", 80)
	w.verifies()
	if v := w.ballots[town.Ballot]; v.upTo != 3 || v.sums["A"] != 3 {
		t.Errorf("kept as final: %v up to %d, although batch 4 is in the outbox", v.sums, v.upTo)
	}
	applied.Settle()
	w.verifies()
	appended.Settle()
	w.verifies()
	if v := w.ballots[town.Ballot]; v.upTo != 3 {
		t.Errorf("kept as final up to %d", v.upTo)
	}
	admitted.Append().Settle()
	w.Persist()
	w.verifies()
	if v := w.ballots[town.Ballot]; v.upTo != 153 || v.sums["D"] != 80 {
		t.Errorf("kept as final: %v up to %d", v.sums, v.upTo)
	}
	w.Vote(town.Ballot, "A", 1)
	w.verifies()
}

// A batch that is settled stands in the log at least, so the round waits for the persister.
func TestH22WaitsForThePersister(t *testing.T) {
	w := newWorld(t)
	w.Admit(town.Ballot, "A", 5).Append().Settle()
	asked := make(chan struct{}, 1)
	w.Topic.OnAsked(func() { asked <- struct{}{} })
	var done sync.WaitGroup
	done.Go(func() {
		<-asked
		w.Persist()
	})
	w.verifies()
	done.Wait()
}

// What another round has verified is not read again, except for a minute by the clock.
func TestAddsOnlyWhatIsNew(t *testing.T) {
	w := newWorld(t)
	w.Vote(town.Ballot, "A", 3)
	w.verifies()
	w.Vote(town.Ballot, "A", 4)
	v := w.ballots[town.Ballot]
	cut, err := w.Redis.Cut(t.Context(), w.current(), town.Ballot)
	if err != nil {
		t.Fatal(err)
	}
	before := v.last.At
	differ, err := v.compare(t.Context(), cut, func(ctx context.Context, after, upTo int64, since time.Time) ([]pgledger.CutRow, error) {
		if after != 3 || upTo != 7 || !since.Equal(before.Add(-clockSlack)) {
			t.Errorf("reads from %d to %d since %v, the last cut was at %v", after, upTo, since, before)
		}
		return []pgledger.CutRow{{Username: "A", Batch: uuid.New(), Votes: 4}}, nil
	})
	if err != nil || len(differ) > 0 || v.upTo != 7 {
		t.Errorf("%v, %v, up to %d", differ, err, v.upTo)
	}
}

// A count that somebody has touched in Redis ends the epoch, whether or not it was verified before.
func TestS70DriftEndsTheEpoch(t *testing.T) {
	for name, change := range map[string]func(*world){
		"more":    func(w *world) { w.touch("A", 1) },
		"less":    func(w *world) { w.touch("A", -2) },
		"strange": func(w *world) { w.touch("nobody", 1) },
		"gone": func(w *world) {
			if err := w.RDB.HDel(w.t.Context(), fmt.Sprintf("{main}:%s:tally", w.current().NS), "A").Err(); err != nil {
				w.t.Fatal(err)
			}
		},
	} {
		for _, earlier := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, verified before %v", name, earlier), func(t *testing.T) {
				w := newWorld(t)
				w.Vote(town.Ballot, "A", 3)
				w.Vote(town.Ballot, "B", 2)
				if earlier {
					w.verifies()
				}
				change(w)
				w.finds()
				if len(w.ends) != 1 || !strings.Contains(w.ends[0], "ballot main") {
					t.Fatalf("ended for %q", w.ends)
				}
				if w.Row().State != "ending" {
					t.Errorf("%+v", w.Row())
				}
				w.log.has(t, "level=ERROR", "ballot=main", "redis=", "ledger=")
				// The next epoch is loaded from Postgres, and right.
				w.OpenRedis()
				w.ends = nil
				w.verifies()
			})
		}
	}
}

func TestDriftSaysWhatDiffers(t *testing.T) {
	w := newWorld(t)
	w.Vote(town.Ballot, "A", 3)
	w.touch("A", 8)
	w.finds()
	w.log.has(t, "level=ERROR", "ballot=main", "candidate=A", "redis=11", "ledger=3")
	if want := `counts in Redis drifted, of ballot main first: "A" has 11, the ledger says 3`; w.ends[0] != want {
		t.Errorf("%q, want %q", w.ends[0], want)
	}
}

// The base of an epoch is what it was loaded with; its own ledger begins after that.
func TestFollowsTheEpochs(t *testing.T) {
	w := newWorld(t)
	w.Vote(town.Ballot, "A", 3)
	w.verifies()
	w.OpenRedis()
	w.verifies()
	w.Vote(town.Ballot, "A", 4)
	w.verifies()
	w.OpenPostgres()
	w.verifies()
	w.OpenRedis()
	w.Vote(town.Ballot, "B", 1)
	w.verifies()
	if v := w.ballots[town.Ballot]; v.sums["A"] != 7 || v.sums["B"] != 1 {
		t.Errorf("%v", v.sums)
	}
}

// A ballot that is made in the middle of an epoch has no marker at first, and no base.
func TestNewBallot(t *testing.T) {
	w := newWorld(t)
	w.Exec("INSERT INTO ballots (ballot, ticket_interval_ms) VALUES ('new', 1000)")
	w.verifies()
	if _, err := pgledger.NameBallots(t.Context(), w.Pool, w.Ledger().Epoch, []string{"new"}); err != nil {
		t.Fatal(err)
	}
	err := w.Redis.LoadNew(t.Context(), w.current(), redisledger.Ballot{Name: "new", State: "open", Rules: 1},
		func(context.Context) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	w.verifies()
	w.Vote("new", "A", 2)
	w.verifies()
}

// Postgres disagrees with itself: people are told, as long as it lasts, and the epoch stays, since there is nothing better.
func TestPostgresAgainstItself(t *testing.T) {
	for _, mode := range []string{"redis", "pg"} {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t)
			w.Vote(town.Ballot, "A", 3)
			if mode == "pg" {
				w.OpenPostgres()
			}
			w.verifies()
			w.Exec("UPDATE user_votes SET votes = votes + 1 WHERE username = 'A'")
			w.finds()
			w.finds()
			if len(w.ends) > 0 || !strings.Contains(w.Degraded(), "in 1 counts, of the ballots main") || w.metrics.selfDiffers.Load() != 1 {
				t.Errorf("ended for %q, %q", w.ends, w.Degraded())
			}
			w.log.has(t, "level=ERROR", "ballot=main", "candidate=A", "count=4", "ledger=3")
			if n := strings.Count(w.log.String(), "level=ERROR"); n != 1 {
				t.Errorf("told %d times", n)
			}
			w.Exec("UPDATE user_votes SET votes = votes - 1 WHERE username = 'A'")
			w.verifies()
		})
	}
}

// Redis and Postgres are both wrong: an epoch loaded now would be wrong as well.
func TestNothingIsLoadedFromAWrongPostgres(t *testing.T) {
	w := newWorld(t)
	w.Vote(town.Ballot, "A", 3)
	w.Exec("UPDATE user_votes SET votes = 5 WHERE username = 'A'")
	w.touch("A", 1)
	w.finds()
	if len(w.ends) > 0 || w.Degraded() == "" {
		t.Errorf("ended for %q, %q", w.ends, w.Degraded())
	}
	w.log.has(t, "level=ERROR", "candidate=A", "redis=4", "ledger=3")
}

func TestStoresAway(t *testing.T) {
	w := newWorld(t)
	w.Vote(town.Ballot, "A", 3)
	w.Topic.Away(true)
	if _, err := w.compare(); err == nil {
		t.Error("Kafka is away, and all is verified")
	}
	// Postgres can be compared with itself all the same.
	w.Exec("UPDATE user_votes SET votes = 5 WHERE username = 'A'")
	if _, err := w.compare(); err == nil || w.Degraded() == "" {
		t.Errorf("%v, %q", err, w.Degraded())
	}
	if len(w.ends) > 0 {
		t.Errorf("ended for %q", w.ends)
	}
}

// One instance at a time; another takes over when it ends.
func TestOneInstanceAtATime(t *testing.T) {
	w := newWorld(t)
	first, second := &turn{pool: w.Pool}, &turn{pool: w.Pool}
	defer second.end()
	wants := func(of *turn, want bool) {
		t.Helper()
		testenv.Eventually(t, 10*time.Second, func() error { // the server frees a lock a moment after its connection ends
			mine, err := of.take(t.Context())
			if err == nil && mine != want {
				err = fmt.Errorf("my turn: %v", mine)
			}
			return err
		})
	}
	wants(first, true)
	wants(second, false)
	wants(first, true)
	first.end()
	wants(second, true)
	wants(first, false)
	// The connection is lost: the turn as well.
	if err := second.conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	wants(first, true)
	wants(second, false)
	first.end()
}

// Postgres is compared with itself for a small share of the time only, but always before anything is loaded from it.
func TestSelfCheckIsRareUnlessSomethingIsToBeLoaded(t *testing.T) {
	w := newWorld(t)
	w.Vote(town.Ballot, "A", 3)
	w.verifies()
	if !w.selfDue.After(time.Now()) {
		t.Errorf("due again at %v", w.selfDue)
	}
	w.selfDue = time.Now().Add(time.Hour)
	w.Exec("UPDATE user_votes SET votes = 5 WHERE username = 'A'")
	if found, err := w.compareAll(t.Context()); err != nil || found {
		t.Errorf("found %v, %v", found, err)
	}
	w.touch("A", 1)
	if found, err := w.compareAll(t.Context()); err != nil || !found || len(w.ends) > 0 || w.Degraded() == "" {
		t.Errorf("found %v, %v, ended for %q", found, err, w.ends)
	}
}

func TestRunsByItself(t *testing.T) {
	w := newWorld(t)
	w.Vote(town.Ballot, "A", 3)
	off := w.reconciler(0)
	r := w.reconciler(20 * time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	for _, run := range []func(context.Context) error{off.Run, r.Run} {
		done.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	w.touch("A", 1)
	testenv.Eventually(t, 10*time.Second, func() error {
		if state := w.Row().State; state != "ending" {
			return fmt.Errorf("the epoch is %s", state)
		}
		return nil
	})
	cancel()
	done.Wait()
}
