package ballots_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/testenv"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	"github.com/littlevote/littlevote/services/vote-service/internal/town"
)

// certify calls it once, within a time.
func (w *world) certify(within time.Duration) (*ballotv1.Result, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), within)
	defer cancel()
	answer, err := w.CertifyBallot(ctx, &ballotv1.CertifyBallotRequest{Name: town.Ballot, Actor: me})
	if ctx.Err() != nil {
		w.t.Error("answered after the deadline")
	}
	return answer.GetResult(), err
}

// begin calls it and leaves it waiting.
func (w *world) begin() (done func() *ballotv1.Result) {
	type answer struct {
		result *ballotv1.Result
		err    error
	}
	answers := make(chan answer, 1)
	go func() {
		result, err := w.certify(20 * time.Second)
		answers <- answer{result, err}
	}()
	return func() *ballotv1.Result {
		w.t.Helper()
		a := <-answers
		if a.err != nil {
			w.t.Fatal(a.err)
		}
		return a.result
	}
}

func (w *world) mustClose() {
	w.t.Helper()
	if err := w.close(w.t.Context(), town.Ballot); err != nil {
		w.t.Fatal(err)
	}
}

func counts(r *ballotv1.Result) map[string]int64 {
	m := map[string]int64{}
	for _, c := range r.GetCounts() {
		m[c.GetCandidate()] = c.GetVotes()
	}
	return m
}

func hasCounts(t *testing.T, r *ballotv1.Result, want map[string]int64) {
	t.Helper()
	if diff := cmp.Diff(want, counts(r)); diff != "" {
		t.Error(diff)
	}
}

// stillWaits certifies in a time that is too short, and wants to be told what for. On a busy machine that time may be over
// before it is known.
func (w *world) stillWaits(what string) {
	w.t.Helper()
	testenv.Eventually(w.t, 20*time.Second, func() error {
		_, err := w.certify(500 * time.Millisecond)
		refused(w.t, err, connect.CodeUnavailable, again)
		if !strings.Contains(err.Error(), what) {
			return fmt.Errorf("%w does not speak of %s", err, what)
		}
		return nil
	})
}

func TestG6CertifiedOnce(t *testing.T) {
	w := newWorld(t)
	w.Vote(town.Ballot, "B", 2)
	w.Vote(town.Ballot, "A", 3)
	w.mustClose()
	result, err := w.certify(20 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	hasCounts(t, result, map[string]int64{"A": 3, "B": 2})
	if result.GetVotes() != 5 || result.GetBallot() != town.Ballot || result.GetCounts()[0].GetCandidate() != "A" {
		t.Errorf("%v", result)
	}
	if age := time.Since(result.GetCertifiedAt().AsTime()); age < -time.Minute || age > time.Minute {
		t.Errorf("certified %v ago", age)
	}
	if state := w.get(town.Ballot).GetState(); state != ballotv1.BallotState_BALLOT_STATE_CERTIFIED {
		t.Errorf("the row says %v", state)
	}
	// It needs nobody any more, and it stays what it is.
	w.redis.cut = true
	w.Topic.Away(true)
	same, err := w.certify(20 * time.Second)
	if err != nil || !same.GetCertifiedAt().AsTime().Equal(result.GetCertifiedAt().AsTime()) {
		t.Errorf("%v, %v", same, err)
	}
	if answer, err := w.CloseBallot(t.Context(), &ballotv1.CloseBallotRequest{Name: town.Ballot, Actor: me}); err == nil {
		if state := answer.GetBallot().GetState(); state != ballotv1.BallotState_BALLOT_STATE_CERTIFIED {
			t.Errorf("a certified ballot was closed: %v", state)
		}
	}
}

// H19: what was admitted before the end counts, however late it is delivered; and what was acknowledged is in the result.
func TestH19CertifyWaitsForTheOutbox(t *testing.T) {
	w := newWorld(t)
	w.Vote(town.Ballot, "A", 1)
	left := w.Admit(town.Ballot, "A", 10)
	w.mustClose()
	w.stillWaits("1 batches in the outbox")
	looked := w.redis.cuts.Load()
	done := w.begin()
	testenv.Eventually(t, 10*time.Second, func() error {
		if w.redis.cuts.Load() < looked+2 {
			return errors.New("has not looked and found that it has to wait")
		}
		return nil
	})
	left.Append().Settle()
	w.Persist()
	hasCounts(t, done(), map[string]int64{"A": 11})
}

// H19: a batch that is settled stands in the log, and need not be in the ledger yet.
func TestH19CertifyWaitsForThePersister(t *testing.T) {
	w := newWorld(t)
	w.Admit(town.Ballot, "A", 10).Append().Settle()
	w.mustClose()
	w.stillWaits("the persister, which is 1 records behind")
	done := w.begin()
	w.Persist()
	hasCounts(t, done(), map[string]int64{"A": 10})
}

func TestCertifyWaitsForKafkaAndRedis(t *testing.T) {
	w := newWorld(t)
	w.mustClose()
	w.Topic.Away(true)
	w.stillWaits("Kafka")
	w.redis.cut = true
	w.stillWaits("Redis")
}

// H19: the epoch ends after the persister has passed the end offsets: what the last one left is not waited for, so
// everything is asked again of the next.
func TestH19CertifyAgainInTheNextEpoch(t *testing.T) {
	w := newWorld(t)
	w.Vote(town.Ballot, "A", 1)
	w.mustClose()
	asked := 0
	w.Topic.OnAsked(func() {
		if asked++; asked == 1 {
			w.OpenRedis()
		}
	})
	result, err := w.certify(20 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	hasCounts(t, result, map[string]int64{"A": 1})
	if asked != 2 {
		t.Errorf("the end offsets were read %d times", asked)
	}
}

// In an epoch in Postgres a vote is in the ledger when it is admitted. Kafka and Redis have no say.
func TestCertifyInPostgres(t *testing.T) {
	w := newWorld(t)
	w.Vote(town.Ballot, "A", 4)
	w.OpenPostgres()
	w.redis.cut = true
	w.Topic.Away(true)
	w.mustClose()
	result, err := w.certify(20 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	hasCounts(t, result, map[string]int64{"A": 4})
}

func TestCertifyNeedsAClosedBallot(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]string{
		"open":    "state = 'open'",
		"paused":  "state = 'paused'",
		"draft":   "state = 'draft'",
		"not yet": "closes_at = now() + interval '1 minute'",
	} {
		w.Exec("UPDATE ballots SET rules_version = rules_version + 1, " + change + " WHERE ballot = 'main'")
		if _, err := w.certify(20 * time.Second); err == nil {
			t.Errorf("%s: certified", name)
		} else {
			refused(t, err, connect.CodeFailedPrecondition, none(statusv1.Code_CODE_FAILED_PRECONDITION))
		}
	}
}

// A ballot whose time is over by the clock that decides counts as closed, in either ledger.
func TestG6CertifyAfterClosingTime(t *testing.T) {
	for _, mode := range []epoch.Mode{epoch.Redis, epoch.Postgres} {
		t.Run(string(mode), func(t *testing.T) {
			w := newWorld(t)
			w.Vote(town.Ballot, "A", 2)
			if mode == epoch.Postgres {
				w.OpenPostgres()
			}
			w.Exec("UPDATE ballots SET closes_at = now() - interval '1 second', rules_version = rules_version + 1 WHERE ballot = 'main'")
			result, err := w.certify(20 * time.Second)
			if err != nil {
				t.Fatal(err)
			}
			hasCounts(t, result, map[string]int64{"A": 2})
			if mode == epoch.Redis {
				if _, n := w.TryAdmit(town.Ballot, "A", 1); n != 0 {
					t.Error("a certified ballot admits")
				}
			}
		})
	}
}

// G1: a ballot that was closed behind the marker's back is closed there before anything else.
func TestG1CertifyClosesTheMarkerFirst(t *testing.T) {
	w := newWorld(t)
	w.Exec("UPDATE ballots SET state = 'closed' WHERE ballot = 'main'")
	w.Topic.OnAsked(func() {
		if _, n := w.TryAdmit(town.Ballot, "A", 1); n != 0 {
			t.Error("admits while it is being certified")
		}
	})
	if _, err := w.certify(20 * time.Second); err != nil {
		t.Fatal(err)
	}
}

// G6: a record that comes after the result has no effect.
func TestG6LateRecordsOfACertifiedBallot(t *testing.T) {
	w := newWorld(t)
	batch := w.Admit(town.Ballot, "A", 1).Append().Settle()
	w.Persist()
	w.mustClose()
	result, err := w.certify(20 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	batch.Append()
	if got := w.Persist(); got[0] != pgledger.Duplicate {
		t.Errorf("a record that comes late: %v", got)
	}
	again, err := pgledger.ResultOf(t.Context(), w.Pool, town.Ballot)
	if err != nil || again.Counts["A"] != result.GetVotes() || result.GetVotes() != 1 {
		t.Errorf("%v, then %+v, %v", result, again, err)
	}
}

func TestCertifyRefusesCountsThatAreWrong(t *testing.T) {
	w := newWorld(t)
	w.Vote(town.Ballot, "A", 2)
	w.mustClose()
	w.Exec("UPDATE user_votes SET votes = 3")
	_, err := w.certify(20 * time.Second)
	refused(t, err, connect.CodeFailedPrecondition, none(statusv1.Code_CODE_INTERNAL))
}
