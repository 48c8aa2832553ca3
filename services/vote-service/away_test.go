package voteservice_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/littlevote/littlevote/libs/embedded"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// S25: while Kafka is away votes go to Postgres by the persister's own transaction.
func TestS25VotesGoOnWithoutKafka(t *testing.T) {
	w := newWorld(t)
	kafka, err := embedded.Kafka("")
	if err != nil {
		t.Fatal(err)
	}
	w.cfg.Kafka.Brokers = kafka.Brokers()
	w.cfg.Vote.ProduceTimeout = time.Second
	s := w.start()
	w.mint("main", 100, time.Hour)
	wantCounted(t, s.cast(t, vote(nil, "A"))[0])
	if err := kafka.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range int64(10) {
		v := s.cast(t, vote(nil, "A"))[0]
		wantCounted(t, v)
		if got := v.GetTotals()[0].GetVotes(); got != i+2 {
			t.Fatalf("total %d, want %d", got, i+2)
		}
	}
	rows, err := pgledger.Tallies(t.Context(), w.pool, "main", []string{"A"})
	if err != nil || len(rows) != 1 || rows[0].Votes != 10 {
		t.Fatalf("%v %v: the ten votes after Kafka's end are in Postgres", rows, err)
	}
}

// logAndLedger gives the world a log of its own, and returns what takes that away, and the ledger too.
func (w *world) logAndLedger() (takeAway func()) {
	w.t.Helper()
	kafka, err := embedded.Kafka("")
	if err != nil {
		w.t.Fatal(err)
	}
	w.cfg.Kafka.Brokers = kafka.Brokers()
	w.cfg.Vote.ProduceTimeout, w.cfg.Vote.Timeout = 200*time.Millisecond, time.Second
	return func() {
		w.t.Helper()
		if err := kafka.Close(); err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.pool.Exec(w.t.Context(), "ALTER TABLE applied_batches RENAME TO gone"); err != nil {
			w.t.Fatal(err)
		}
	}
}

// With the log and the ledger away there is never a success; what certainly became nothing is given back.
func TestKafkaAndPostgresAway(t *testing.T) {
	w := newWorld(t)
	takeAway := w.logAndLedger()
	s := w.start()
	w.mint("main", 100, time.Hour)
	takeAway()
	codes := map[statusv1.Code]int{}
	for range 10 {
		v := s.castOnce(t, vote(nil, "A"))[0]
		codes[v.GetCode()]++
		want := statusv1.Outcome_OUTCOME_UNKNOWN
		if v.GetCode() == statusv1.Code_CODE_UNAVAILABLE {
			want = statusv1.Outcome_OUTCOME_NONE
		}
		wantCode(t, v, v.GetCode(), want)
	}
	// Until the breaker opens a record may have been sent; from then on nothing was, and refunds are certain.
	if codes[statusv1.Code_CODE_OK] != 0 || codes[statusv1.Code_CODE_UNAVAILABLE] == 0 {
		t.Fatalf("%v", codes)
	}
	if codes[statusv1.Code_CODE_OUTCOME_UNKNOWN] == 0 {
		t.Fatalf("%v: H4: a record that may have been sent is never refused", codes)
	}
	if got, want := w.left("main"), int64(100-codes[statusv1.Code_CODE_OUTCOME_UNKNOWN]); got != want {
		t.Fatalf("%d uses left, want %d: each refusal gives its use back", got, want)
	}
	if got := w.live("main", "A"); got != 0 {
		t.Fatalf("A has %d", got)
	}
}

// H33: votes of one voter in one call are one batch. While that may be lost, no vote of it is a reason to refuse another.
func TestNoVoterIsToldOfAVoteThatIsLost(t *testing.T) {
	w := newWorld(t)
	takeAway := w.logAndLedger()
	s := w.start()
	ballot := w.limited(s, 1)
	w.mint(ballot, 100, time.Hour)
	s.eventually(t, by("ann", ballot, "x"))
	takeAway()
	refunded := false
	for i := range 10 {
		voter := fmt.Sprint("voter ", i)
		for _, v := range s.castOnce(t, by(voter, ballot, "x"), by(voter, ballot, "y")) {
			if v.GetCode() == statusv1.Code_CODE_VOTER_LIMIT {
				t.Fatalf("%s has no vote: %v", voter, v)
			}
			refunded = refunded || v.GetCode() == statusv1.Code_CODE_UNAVAILABLE
		}
	}
	if !refunded {
		t.Fatal("no batch was given back")
	}
	wantCode(t, s.cast(t, by("ann", ballot, "y"))[0], statusv1.Code_CODE_VOTER_LIMIT, statusv1.Outcome_OUTCOME_NONE)
}

// A batch that its owner left in the outbox is finished by whoever is there.
func TestS63ASliceThatWasMissedIsMadeGood(t *testing.T) {
	w := newWorld(t)
	w.cfg.Vote.Timeout = 500 * time.Millisecond
	w.cfg.Vote.OutboxLease = time.Second
	s := w.start()
	w.mint("main", 10, time.Hour)
	id := uuid.Must(uuid.NewV7())
	key := uuid.Must(uuid.NewV7())
	event := &eventv1.VoteBatch{
		Format: 1, BatchId: id[:], Epoch: w.fence().Epoch, Ballot: "main", Candidates: []string{"A"},
		Votes: []*eventv1.VoteEvent{
			{VoteId: key[:], Candidates: []uint32{0}, Deltas: []int64{1}},
			{VoteId: key[:], Candidates: []uint32{0}, Deltas: []int64{3}},
		},
	}
	payload, err := proto.Marshal(&eventv1.OutboxBatch{Batch: event, GroupSizes: []uint32{2}})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := w.ledger.Admit(t.Context(), w.fence(), &redisledger.Batch{
		ID: id, Ballot: "main", Payload: payload, Tickets: []string{""}, Groups: []redisledger.Group{{Votes: 2}},
	}, 10, nil)
	if a.Err != nil || a.Verdict.Accepted() != 2 {
		t.Fatalf("%+v", a)
	}
	testenv.Eventually(t, 20*time.Second, func() error {
		if got := w.live("main", "A"); got != 4 {
			return fmt.Errorf("A has %d", got)
		}
		return nil
	})
	if b := w.logged(2)[0]; b.GetAdmittedAtMs() != a.Verdict.At.UnixMilli() || b.GetFirstAdmissionNumber() != 1 {
		t.Fatalf("record: %v", b)
	}
	wantCounted(t, s.cast(t, vote(nil, "A"))[0])
}
