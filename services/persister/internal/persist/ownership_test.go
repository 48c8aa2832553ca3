package persist

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/littlevote/littlevote/libs/pgledger"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// A persister that is no longer the owner can't commit, notices, and joins anew.
func TestZombie(t *testing.T) {
	w := newTown(t, 2)
	p := w.start()
	p.awaitReady()
	w.send(1, w.batch("B"))
	w.awaitVotes("B", 1)
	// Another process, which owns partition 0 now, applies what stands there first.
	first, second := w.batch("A"), w.batch("A")
	if _, err := pgledger.Apply(t.Context(), w.pool, pgledger.Batch{
		Events:  []pgledger.Event{{VoteBatch: first}},
		Offsets: []pgledger.OffsetMove{{TopicID: w.topic.ID, Partition: 0, From: 0, To: 1}},
	}); err != nil {
		t.Fatal(err)
	}
	w.send(0, first)
	w.send(0, second)
	p.awaitLog("another process has moved an offset of ours")
	w.awaitOffset(0, 2)
	w.awaitVotes("A", 2)
	w.send(1, w.batch("B"))
	w.awaitVotes("B", 2)
	p.awaitReady()
}

// The offsets of Postgres count, whatever Kafka has for the group.
func TestRestartGoesOnWhereTheLedgerStands(t *testing.T) {
	w := newTown(t, 2)
	group := w.kafka.TopicPrefix + "test"
	p := w.start()
	p.awaitReady()
	w.send(0, w.batch("A"), w.batch("A"))
	w.awaitOffset(0, 2)
	p.stop()

	w.send(0, w.batch("A"), w.batch("A"), w.batch("A"))
	ahead := kadm.Offsets{}
	ahead.AddOffset(w.topics.Votes, 0, 4, -1)
	ahead.AddOffset(w.topics.Votes, 1, 4, -1)
	if err := w.admin.CommitAllOffsets(t.Context(), group, ahead); err != nil {
		t.Fatal(err)
	}
	p = w.start()
	w.awaitOffset(0, 5)
	w.awaitVotes("A", 5)
	p.stop()

	w.send(0, w.batch("A"))
	if _, err := w.admin.DeleteGroup(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	p = w.start()
	w.awaitOffset(0, 6)
	w.awaitVotes("A", 6)
	p.stop()
	if n := query[int](w, "SELECT count(*) FROM dropped_batches"); n != 0 {
		t.Errorf("%d dropped batches", n)
	}
}

// F5: persisters come and go while votes flow; nothing is lost, nothing counts twice.
func TestRebalanceUnderFlow(t *testing.T) {
	w := newTown(t, 8)
	stop := make(chan struct{})
	var sent atomic.Int64
	var flow sync.WaitGroup
	flow.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			b := w.batch("A", "B")
			w.send(i%8, b)
			if i%5 == 0 {
				w.send((i+1)%8, b) // a duplicate elsewhere
			}
			sent.Add(1)
		}
	})
	first := w.start()
	first.awaitReady()
	all := []*running{first}
	for range 3 {
		second := w.start()
		all = append(all, second)
		second.awaitReady()
		// Both have had something to do since.
		w.awaitMore(50)
		second.stop()
		w.awaitMore(50)
	}
	third := w.start()
	all = append(all, third)
	third.awaitReady()
	first.stop()
	w.awaitMore(50)
	close(stop)
	flow.Wait()
	w.awaitVotes("A", sent.Load())
	w.awaitVotes("B", sent.Load())
	third.awaitReady()
	for i, p := range all {
		if p.logs.has("another process has moved an offset of ours") {
			t.Errorf("persister %d worked on a partition that it had handed over", i)
		}
	}
}

// awaitMore waits for so many more votes of A.
func (w *town) awaitMore(n int64) {
	w.Helper()
	from := w.votes("A")
	w.eventually(func() error {
		if got := w.votes("A"); got < from+n {
			return fmt.Errorf("%d votes, want %d", got, from+n)
		}
		return nil
	})
}

// F24: records that nobody has read are gone. That is for a person, and never skipped.
func TestOffsetOutOfRangeHalts(t *testing.T) {
	w := newTown(t, 2)
	w.send(0, w.batch("A"), w.batch("A"), w.batch("A"))
	gone := kadm.Offsets{}
	gone.AddOffset(w.topics.Votes, 0, 2, -1)
	if _, err := w.admin.DeleteRecords(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	p := w.start()
	p.awaitTrouble("partition 0 is halted")
	w.send(1, w.batch("B"))
	w.awaitVotes("B", 1)
	w.send(0, w.batch("A"))
	w.awaitVotes("A", 0)
	if got := w.offset(0); got != 0 {
		t.Errorf("the offset was reset to %d", got)
	}
	p.awaitLog("ERROR partition is halted offset=0 alarm=true partition=0")

	// A person accepts the loss: it goes on by itself.
	w.exec("UPDATE offsets SET next = 2 WHERE topic_id = $1 AND partition = 0", w.topic.ID)
	w.awaitOffset(0, 4)
	w.awaitVotes("A", 2)
	p.awaitReady()
}

// F24 too: the topic was deleted and made again, once while a persister runs and once between two runs.
func TestTopicMadeAnewHalts(t *testing.T) {
	w := newTown(t, 1)
	p := w.start()
	p.awaitReady()
	w.send(0, w.batch("A"))
	w.awaitVotes("A", 1)
	old := w.topic
	if _, err := w.admin.DeleteTopic(t.Context(), w.topics.Votes); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() error { // the name is free once the deletion is done
		_, err := w.admin.CreateTopic(t.Context(), 1, 1, nil, w.topics.Votes)
		return err
	})
	w.eventually(func() error { // metadata may lag behind
		w.ensureTopics()
		if w.topic.ID == old.ID {
			return errors.New("the topic has its old id")
		}
		return nil
	})
	p.awaitTrouble("the offsets belong to a topic that is gone")
	p.stop()

	again := w.start()
	again.awaitTrouble("the offsets belong to a topic that is gone")
	if n := query[int](w, "SELECT count(*) FROM offsets"); n != 1 {
		t.Errorf("%d offsets, want those of the old topic only", n)
	}
	// A person decides that the new topic counts.
	w.exec("DELETE FROM offsets")
	again.awaitReady()
	w.client.PurgeTopicsFromClient(w.topics.Votes) // a producer that knows the old topic
	w.send(0, w.batch("A"))
	w.awaitVotes("A", 2)
}

func TestTopicThatGrows(t *testing.T) {
	w := newTown(t, 2)
	p := w.start()
	p.awaitReady()
	w.send(1, w.batch("A"))
	w.awaitVotes("A", 1)
	if _, err := w.admin.UpdatePartitions(t.Context(), 3, w.topics.Votes); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() error {
		if w.offset(2) != 0 {
			return errors.New("the new partition has no offset")
		}
		return nil
	})
	w.client.ForceMetadataRefresh()
	w.eventually(func() error {
		if _, n, err := w.client.PartitionLeader(w.topics.Votes, 2); err != nil || n < 0 {
			return fmt.Errorf("the producer does not know it: %w", err)
		}
		return nil
	})
	w.send(2, w.batch("A"))
	w.awaitVotes("A", 2)
}

// A partition changes hands only between two transactions: the next owner never begins at an offset that is about to move.
func TestHandOverWaitsForTheTransaction(t *testing.T) {
	w := newTown(t, 4)
	for i := range 120 {
		w.send(i%4, w.batch("A"))
	}
	release := w.lockLedger()
	first := w.prepare(w.pool, func(c *Config, _ *Persister) { c.BatchRecords = 10 })
	first.begin()
	w.awaitLockWaiters(1)
	second := w.start()
	second.awaitReady() // in the group: now the first has to give up two partitions
	for begin := time.Now(); time.Since(begin) < time.Second; {
		if n := w.lockWaiters(); n > 1 {
			t.Fatalf("%d transactions are on their way: the second persister has not waited for the first one's", n)
		}
	}
	release()
	w.awaitVotes("A", 120)
	// The first had records of the partitions it gave up in its queue.
	w.eventually(func() error {
		if !second.logs.has("partition is ours") {
			return errors.New("the second has no partition")
		}
		return nil
	})
	for i := range 4 {
		w.send(i, w.batch("B"))
	}
	w.awaitVotes("B", 4)
	for i, p := range []*running{first, second} {
		if p.logs.has("another process has moved an offset of ours") {
			t.Errorf("persister %d worked on a partition that was not its own", i)
		}
	}
}

// lockLedger keeps every transaction from going on until release is called.
func (w *town) lockLedger() (release func()) {
	w.Helper()
	change, err := w.pool.Begin(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	release = func() { _ = change.Rollback(context.Background()) }
	w.Cleanup(release)
	_, err = change.Exec(w.Context(), "SET LOCAL idle_in_transaction_session_timeout = 0; LOCK TABLE ledger_epoch IN EXCLUSIVE MODE")
	if err != nil {
		w.Fatal(err)
	}
	return release
}

func (w *town) lockWaiters() int {
	w.Helper()
	return query[int](w, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FOR SHARE'")
}

func (w *town) awaitLockWaiters(want int) {
	w.Helper()
	w.eventually(func() error {
		if n := w.lockWaiters(); n < want {
			return fmt.Errorf("%d transactions wait", n)
		}
		return nil
	})
}

// A stop in the middle of work ends soon, and what it leaves is done by the next.
func TestStopUnderLoad(t *testing.T) {
	w := newTown(t, 4)
	var batches []*eventv1.VoteBatch
	for i := range 400 {
		batches = append(batches, w.batch("A", "B", "C"))
		w.send(i%4, batches[i])
	}
	committed := make(chan struct{}, 1000)
	p := w.prepare(w.pool, func(c *Config, p *Persister) {
		c.BatchRecords = 20
		p.committed = func(pgledger.Result) { committed <- struct{}{} }
	})
	p.begin()
	<-committed
	p.stop()
	if got := w.votes("A"); got == 0 || got == 400 {
		t.Logf("%d of 400 votes at the stop: it was not in the middle", got)
	}
	w.expectRecount()
	w.start()
	w.awaitVotes("A", 400)
}

// A database that does not answer must not keep a stop from ending.
func TestStopWhileTheLedgerIsLocked(t *testing.T) {
	w := newTown(t, 1)
	p := w.start()
	p.awaitReady()
	release := w.lockLedger()
	w.send(0, w.batch("A"))
	w.awaitLockWaiters(1)
	p.stop() // fails after 10 s
	release()
	begin := time.Now()
	w.start()
	w.awaitVotes("A", 1)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the next persister took %v: the last one did not leave its group", took)
	}
}
