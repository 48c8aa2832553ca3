package persist

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"github.com/littlevote/littlevote/libs/events"
)

// F15: poison in each partition goes to the dead-letter topic with its origin, and everything else flows.
func TestS48S69PoisonInEveryPartition(t *testing.T) {
	w := newTown(t, 8)
	later := w.batch("X")
	later.Format = 99
	unknown, err := proto.Marshal(later)
	if err != nil {
		t.Fatal(err)
	}
	poison := [][]byte{[]byte("garbage"), nil, unknown, bytes.Repeat([]byte{0xee}, 900<<10)}
	for partition := range 8 {
		w.send(partition, w.batch("A"))
		w.sendRaw(partition, poison[partition%len(poison)])
		w.send(partition, w.batch("A"))
	}
	p := w.start()
	for partition := range 8 {
		w.awaitOffset(partition, 3)
	}
	w.awaitVotes("A", 16)
	w.awaitVotes("X", 0)
	p.awaitReady()
	p.awaitLog("ERROR dead letter of an unknown format partition=2 offset=1 reason=vote batch of an unknown format: 99 alarm=true")

	letters := w.deadLetters(8)
	for _, r := range letters {
		headers := map[string]string{}
		for _, h := range r.Headers {
			headers[h.Key] = string(h.Value)
		}
		partition, err := strconv.Atoi(headers["littlevote-origin-partition"])
		if err != nil {
			t.Fatalf("headers are %v", headers)
		}
		if headers["littlevote-origin-topic"] != w.topics.Votes || headers["littlevote-origin-offset"] != "1" || headers["littlevote-time"] == "" {
			t.Errorf("headers are %v", headers)
		}
		if headers["littlevote-reason"] == "" || !bytes.Equal(r.Value, poison[partition%len(poison)]) {
			t.Errorf("the letter from partition %d has reason %q and %d bytes", partition, headers["littlevote-reason"], len(r.Value))
		}
	}
}

// Poison without anything else is passed too, and once.
func TestPoisonAlone(t *testing.T) {
	w := newTown(t, 1)
	p := w.start()
	p.awaitReady()
	w.sendRaw(0, []byte("garbage"))
	w.awaitOffset(0, 1)
	p.stop()
	again := w.start()
	again.awaitReady()
	w.send(0, w.batch("A"))
	w.awaitVotes("A", 1)
	w.deadLetters(1)
}

// deadLetters reads the dead-letter topic and fails unless so many stand there.
func (w *town) deadLetters(want int) []*kgo.Record {
	w.Helper()
	ends, err := w.admin.ListEndOffsets(w.Context(), w.topics.DeadLetters)
	if err != nil {
		w.Fatal(err)
	}
	total := int64(0)
	from := map[int32]kgo.Offset{}
	for _, o := range ends[w.topics.DeadLetters] {
		total += o.Offset
		from[o.Partition] = kgo.NewOffset().AtStart()
	}
	if total != int64(want) {
		w.Fatalf("%d dead letters, want %d", total, want)
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.Brokers...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{w.topics.DeadLetters: from}))
	if err != nil {
		w.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	var records []*kgo.Record
	for len(records) < want && ctx.Err() == nil {
		records = append(records, reader.PollFetches(ctx).Records()...)
	}
	return records
}

// Hole H25: what is ours is never dead-lettered. Its partition halts, and only that.
func TestOursThatCannotBeAppliedHaltsItsPartition(t *testing.T) {
	w := newTown(t, 4)
	key := uuid.New()
	withKey := func() []byte {
		b := w.batch("K")
		b.Votes[0].VoteId, b.Votes[0].BodyHash = key[:], make([]byte, 16)
		value, err := events.Encode(b)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	w.sendRaw(3, withKey())
	first := w.start()
	w.awaitOffset(3, 1)
	first.stop()

	// All in one transaction, at first: three good ones, then the same key again, then more.
	for partition := range 4 {
		w.send(partition, w.batch("A"), w.batch("A"), w.batch("A"))
	}
	w.sendRaw(3, withKey())
	w.send(3, w.batch("B"))
	p := w.start()
	p.awaitTrouble("partition 3 is halted")
	w.awaitVotes("A", 12)
	w.awaitOffset(3, 4)
	p.awaitLog("ERROR partition is halted")
	p.awaitLog("alarm=true partition=3")
	p.awaitLog("offset=4 batch=")
	for partition := range 3 {
		w.send(partition, w.batch("C"))
	}
	w.send(3, w.batch("B"))
	w.awaitVotes("C", 3)
	if got := w.offset(3); got != 4 {
		t.Errorf("the halted partition stands at %d, want 4", got)
	}
	w.deadLetters(0)
	p.stop()

	// Once a person has removed the cause, a restart goes on where it stopped.
	w.exec("DELETE FROM vote_keys")
	again := w.start()
	w.awaitOffset(3, 7)
	again.awaitReady()
	if b, k := w.votes("B"), w.votes("K"); b != 2 || k != 2 {
		t.Errorf("B has %d votes and K %d, want 2 and 2", b, k)
	}
}

// A batch of an epoch that was never opened is no reason to lose anything either.
func TestFutureEpochHalts(t *testing.T) {
	w := newTown(t, 2)
	future := w.batch("A")
	future.Epoch = 2
	w.send(0, future)
	w.send(1, w.batch("B"))
	p := w.start()
	p.awaitTrouble("partition 0 is halted: pgledger: batch of a future epoch")
	w.awaitVotes("B", 1)
	w.awaitVotes("A", 0)
}

// Many bad records halt quickly: they are found by halving, not one by one.
func TestHaltedPartitionAmongManyRecords(t *testing.T) {
	w := newTown(t, 2)
	for range 300 {
		w.send(0, w.batch("A"))
	}
	orphan := w.batch("O")
	orphan.Ballot = "nobody"
	w.send(0, orphan)
	for i := range 50 {
		w.send(0, w.batch(fmt.Sprintf("Z%d", i)))
	}
	p := w.start()
	p.awaitTrouble(`partition 0 is halted: pgledger: batch of an unknown ballot`)
	w.awaitOffset(0, 300)
	w.awaitVotes("A", 300)
	if n := query[int](w, "SELECT count(*) FROM vote_logs WHERE username LIKE 'Z%'"); n != 0 {
		t.Errorf("%d rows from beyond the record that is in the way", n)
	}
}
