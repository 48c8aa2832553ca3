package town

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// Batch is some votes for one candidate, admitted in Redis.
type Batch struct {
	w      *Town
	ledger epoch.Ledger
	event  *eventv1.VoteBatch
	at     time.Time
	name   string
	votes  int64
}

// ticket makes sure that votes can be admitted.
func (w *Town) ticket(l epoch.Ledger, ballot string) {
	w.t.Helper()
	state, err := w.Redis.Ticket(w.t.Context(), l.Fence(), ballot)
	if err != nil {
		w.t.Fatal(err)
	}
	if state.Usable() {
		return
	}
	n := state.LastNumber + 1
	_, _, _, err = w.Redis.Mint(w.t.Context(), l.Fence(), ballot, redisledger.Mint{
		Number: n, Version: fmt.Sprintf("%d.%d.0", l.Epoch, n), Value: fmt.Sprintf("ticket-%d", n),
		Cap: redisledger.NoCap, Interval: time.Hour,
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// TryAdmit puts votes into the outbox and says how many were accepted.
func (w *Town) TryAdmit(ballot, name string, votes int) (*Batch, int) {
	w.t.Helper()
	l := w.Ledger()
	w.ticket(l, ballot)
	id := uuid.Must(uuid.NewV7())
	admitted, _ := w.Redis.Admit(w.t.Context(), l.Fence(), &redisledger.Batch{
		ID: id, Ballot: ballot, Payload: []byte("payload"), Tickets: []string{""}, Groups: []redisledger.Group{{Votes: votes}},
	}, 100, nil)
	if admitted.Err != nil {
		w.t.Fatal(admitted.Err)
	}
	v := admitted.Verdict
	accepted := v.Accepted()
	event := &eventv1.VoteBatch{
		Format: 1, BatchId: id[:], Epoch: l.Epoch, Ballot: ballot, AdmittedAtMs: v.At.UnixMilli(), TicketVersion: v.TicketVersion,
		FirstAdmissionNumber: v.First, Candidates: []string{name},
	}
	for range accepted {
		vote := uuid.Must(uuid.NewV7())
		event.Votes = append(event.Votes, &eventv1.VoteEvent{VoteId: vote[:], Candidates: []uint32{0}, Deltas: []int64{1}})
	}
	return &Batch{w: w, ledger: l, event: event, at: v.At, name: name, votes: int64(accepted)}, accepted
}

// Admit puts votes into the outbox.
func (w *Town) Admit(ballot, name string, votes int) *Batch {
	w.t.Helper()
	b, accepted := w.TryAdmit(ballot, name, votes)
	if accepted != votes {
		w.t.Fatalf("%d of %d votes are admitted", accepted, votes)
	}
	return b
}

// Append writes the batch into the log.
func (b *Batch) Append() *Batch {
	b.w.Topic.mu.Lock()
	defer b.w.Topic.mu.Unlock()
	b.w.Topic.records = append(b.w.Topic.records, b)
	return b
}

// Apply puts the batch into the ledger without the log, as the fallback does.
func (b *Batch) Apply() *Batch {
	b.w.t.Helper()
	if _, err := pgledger.Apply(b.w.t.Context(), b.w.Pool, pgledger.Batch{Events: []pgledger.Event{{VoteBatch: b.event}}}); err != nil {
		b.w.t.Fatal(err)
	}
	return b
}

// Settle takes the batch out of the outbox and into the tally.
func (b *Batch) Settle() *Batch {
	b.w.t.Helper()
	reply := b.w.Redis.Settle(b.w.t.Context(), &redisledger.Settlement{
		Fence: b.ledger.Fence(), ID: uuid.UUID(b.event.GetBatchId()), Ballot: b.event.GetBallot(), AdmittedAt: b.at,
		Names: []string{b.name}, Counts: []int64{b.votes},
	})
	if reply.Err != nil || reply.How != redisledger.Settled {
		b.w.t.Fatalf("settle: %q %v", reply.How, reply.Err)
	}
	return b
}

// Persist applies what the log holds, and returns what became of it.
func (w *Town) Persist() []pgledger.Verdict {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Topic.mu.Lock()
	records := w.Topic.records[w.next:]
	w.Topic.mu.Unlock()
	if len(records) == 0 {
		return nil
	}
	batch := pgledger.Batch{Offsets: []pgledger.OffsetMove{{
		TopicID: w.Topic.id, From: int64(w.next), To: int64(w.next + len(records)), CaughtUpAt: time.Now(),
	}}}
	for _, r := range records {
		batch.Events = append(batch.Events, pgledger.Event{VoteBatch: r.event, Record: []byte("record")})
	}
	result, err := pgledger.Apply(w.t.Context(), w.Pool, batch)
	if err != nil {
		w.t.Fatal(err)
	}
	w.next += len(records)
	return result.Verdicts
}

// Vote takes some votes all the way.
func (w *Town) Vote(ballot, name string, votes int) {
	w.t.Helper()
	w.Admit(ballot, name, votes).Append().Settle()
	w.Persist()
}
