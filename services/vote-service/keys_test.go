package voteservice_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/testenv"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// The same key many times at once has one effect, and every answer says so.
func TestSameKeyManyTimesAtOnce(t *testing.T) {
	w := newWorld(t)
	instances := []*instance{w.start(), w.start()}
	w.mint("main", 1000, time.Hour)
	key := newKey()
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			text := key
			if i%3 == 0 {
				text = strings.ToUpper(key)
			}
			v := instances[i%2].cast(t, withKey(vote(nil, "A"), text))[0]
			if v.GetCode() != statusv1.Code_CODE_OK || v.GetVoteId() != key || v.GetTotals()[0].GetVotes() != 1 {
				t.Errorf("%v", v)
			}
		})
	}
	wg.Wait()
	if w.live("main", "A") != 1 || w.left("main") != 999 {
		t.Fatalf("A has %d, %d uses left", w.live("main", "A"), w.left("main"))
	}
	wantCode(t, instances[0].cast(t, withKey(vote(nil, "B"), key))[0],
		statusv1.Code_CODE_KEY_REUSED, statusv1.Outcome_OUTCOME_NONE)
	again := withKey(vote(nil, "A"), key)
	again.VoterLabel = "somebody else"
	wantCode(t, instances[1].cast(t, again)[0], statusv1.Code_CODE_KEY_REUSED, statusv1.Outcome_OUTCOME_NONE)
}

// The order and repetition of candidates do not make another body, and the same key twice in one call is one vote.
func TestKeyMatchesByBody(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	w.mint("main", 10, time.Hour)
	key := newKey()
	same := vote(nil, "B")
	same.Choices = append(same.Choices, &votev1.Choice{Candidate: "A", Count: 2})
	for i, v := range s.cast(t, withKey(vote(nil, "A", "B", "A"), key), withKey(same, key)) {
		if v.GetCode() != statusv1.Code_CODE_OK {
			t.Fatalf("verdict %d: %v", i, v)
		}
	}
	if w.live("main", "A") != 2 || w.left("main") != 9 {
		t.Fatalf("A has %d, %d left", w.live("main", "A"), w.left("main"))
	}
}

// A key that Redis can't judge is looked up in Postgres.
func TestKeyOfTheLedger(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	ref := w.mint("main", 10, time.Hour)
	used, fresh := uuid.New(), uuid.New()
	verdict := s.cast(t, withKey(vote(ref, "A"), used.String()))[0]
	wantCode(t, verdict, statusv1.Code_CODE_OUTCOME_UNKNOWN, statusv1.Outcome_OUTCOME_UNKNOWN) // no persister was ever here
	w.caughtUp()
	wantCounted(t, s.cast(t, withKey(vote(ref, "A"), used.String()))[0])
	w.apply(w.logged(1)...)
	before := w.fence()
	if err := w.ledger.Unlink(t.Context(), before.NS); err != nil { // Redis forgets everything: a new epoch
		t.Fatal(err)
	}
	testenv.Eventually(t, 20*time.Second, func() error {
		if f := w.fence(); f.Epoch != before.Epoch+1 {
			return fmt.Errorf("epoch %d", f.Epoch)
		}
		return nil
	})
	w.mint("main", 10, time.Hour)
	w.caughtUp()
	testenv.Eventually(t, 20*time.Second, func() error {
		v := s.cast(t, withKey(vote(nil, "A"), used.String()))[0]
		if v.GetCode() != statusv1.Code_CODE_OK {
			return fmt.Errorf("%v", v)
		}
		return nil
	})
	wantCode(t, s.cast(t, withKey(vote(nil, "B"), used.String()))[0], statusv1.Code_CODE_KEY_REUSED, statusv1.Outcome_OUTCOME_NONE)
	wantCounted(t, s.cast(t, withKey(vote(nil, "A"), fresh.String()))[0])
	if got := w.live("main", "A"); got != 2 {
		t.Fatalf("A has %d: one before the new epoch, one in it", got)
	}
}

// caughtUp says what a persister with nothing to do says.
func (w *world) caughtUp() {
	w.t.Helper()
	_, err := w.pool.Exec(w.t.Context(), `
		INSERT INTO offsets (topic_id, partition, next, caught_up_at) SELECT gen_random_uuid(), 0, 0, now()
		WHERE NOT EXISTS (SELECT FROM offsets)`)
	if err == nil {
		_, err = w.pool.Exec(w.t.Context(), "UPDATE offsets SET caught_up_at = now()")
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// apply does a persister's work on batches, and says that every partition is applied to its end.
func (w *world) apply(batches ...*eventv1.VoteBatch) {
	w.t.Helper()
	var b pgledger.Batch
	for _, e := range batches {
		b.Events = append(b.Events, pgledger.Event{VoteBatch: e})
	}
	if _, err := pgledger.Apply(w.t.Context(), w.pool, b); err != nil {
		w.t.Fatal(err)
	}
	id, ends := w.ends()
	for p, end := range ends {
		_, err := w.pool.Exec(w.t.Context(), "INSERT INTO offsets VALUES ($1, $2, $3, now())", id, p, end)
		if err != nil {
			w.t.Fatal(err)
		}
	}
}
