package persist

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/testenv"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// Hole H38: a batch came after the end of its epoch, and its voter, who was refused, voted again with the same key. When the log is
// applied to a backup of before, that epoch is open: the first of the two votes must not count there.
func TestWhatHadNoEffectHasNoneAfterARestore(t *testing.T) {
	w := newTown(t, 2)
	early, late, again := w.batch("A"), w.batch("A"), w.batch("A")
	again.Epoch = 2
	key, hash := uuid.New(), uuid.New()
	for _, b := range []*eventv1.VoteBatch{late, again} {
		b.Votes[0].VoteId, b.Votes[0].BodyHash = key[:], hash[:]
	}
	uncertified := w.batch("C")
	uncertified.Epoch, uncertified.Ballot = 2, "cast"
	w.send(0, early)
	p := w.start()
	w.awaitVotes("A", 1)
	w.setEpoch(2, "open")
	w.exec("UPDATE ballots SET state = 'certified' WHERE ballot = 'cast'")
	w.exec("INSERT INTO results (ballot, counts, votes) VALUES ('cast', '{}', 0)")
	w.send(0, late)
	w.send(1, again, uncertified)
	w.awaitVotes("A", 2)
	w.eventually(func() error {
		if told := query[int](w, "SELECT count(*) FROM dropped_batches WHERE told"); told != 2 {
			return fmt.Errorf("the log was told of %d dropped batches, want 2", told)
		}
		return nil
	})
	p.stop()

	w.url = testenv.Postgres(t) // as of before the first vote
	if err := pgledger.Migrate(t.Context(), w.url, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	w.pool = w.connect(w.url)
	w.setEpoch(1, "open")
	p = w.start()
	w.awaitOffset(0, 2)
	p.awaitTrouble("partition 1 is halted: pgledger: batch of a future epoch")
	w.awaitVotes("A", 1)
	p.stop()
	w.setEpoch(2, "open")
	w.start()
	w.awaitOffset(1, 2)
	w.awaitVotes("A", 2)
	for _, lost := range []struct {
		batch  *eventv1.VoteBatch
		reason string
	}{{late, "epoch_over"}, {uncertified, "certified"}} {
		id := uuid.UUID(lost.batch.GetBatchId()).String()
		if got := query[string](w, "SELECT coalesce((SELECT reason FROM dropped_batches WHERE batch_id = $1::uuid), 'none')", id); got != lost.reason {
			t.Errorf("the reason of batch %s is %s, want %s", id, got, lost.reason)
		}
	}
}

// Somebody deletes the topic: it is made anew, and told of what is dropped from then on.
func TestTheTopicOfDroppedBatchesIsMadeAgain(t *testing.T) {
	w := newTown(t, 1)
	p := w.start()
	p.awaitReady()
	if _, err := w.admin.DeleteTopics(t.Context(), w.topics.Dropped); err != nil {
		t.Fatal(err)
	}
	late := w.batch("A")
	w.setEpoch(2, "open")
	w.send(0, late)
	w.eventually(func() error {
		dropped, err := events.ReadDropped(t.Context(), w.kafka, w.topics, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		if why := dropped[uuid.UUID(late.GetBatchId())]; why != "epoch_over" {
			return fmt.Errorf("the log says %q of the batch", why)
		}
		return nil
	})
	w.start().awaitReady()
	p.awaitReady()
}
