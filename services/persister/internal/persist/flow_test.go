package persist

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
)

func TestS24VotesFlowFromEveryPartition(t *testing.T) {
	w := newTown(t, 8)
	for partition := range 8 {
		w.send(partition, w.batch("A", "B"), w.batch("A"))
	}
	p := w.start()
	w.awaitVotes("A", 16)
	w.awaitVotes("B", 8)
	p.awaitReady()
	for partition := range 8 {
		w.send(partition, w.batch("C"))
		w.awaitOffset(partition, 3)
	}
	w.awaitVotes("C", 8)

	// It says who it is, what it reads, and how far it is.
	if n := query[int](w, "SELECT count(*) FROM persisters WHERE reads_format = $1 AND lease_until > now()", events.Format); n != 1 {
		t.Errorf("%d persisters have signed on, want 1", n)
	}
	w.eventually(func() error {
		keys, err := pgledger.Lookup(t.Context(), w.pool, "main", []uuid.UUID{uuid.New()})
		if err == nil && keys.Lag > 5*time.Second {
			err = fmt.Errorf("the lag is %v, with nothing to do", keys.Lag)
		}
		return err
	})
	w.eventually(func() error {
		committed, err := w.admin.FetchOffsets(t.Context(), w.kafka.TopicPrefix+"test")
		if err != nil {
			return err
		}
		if o, ok := committed.Lookup(w.topics.Votes, 7); !ok || o.At != 3 {
			return fmt.Errorf("the group's offset of partition 7 is %v: operators see a lag that is none", o)
		}
		return nil
	})
	p.stop()
	if n := query[int](w, "SELECT count(*) FROM persisters"); n != 0 {
		t.Errorf("%d persisters are signed on after the stop", n)
	}
}

// A partition that is behind is known to be behind, by how much, and that it has caught up.
func TestS81LagIsMeasuredWhileRecordsWait(t *testing.T) {
	w := newTown(t, 2)
	p := w.start()
	p.awaitReady()
	caughtUp := func(partition int) time.Time {
		return query[time.Time](w, "SELECT caught_up_at FROM offsets WHERE partition = $1", partition)
	}
	w.eventually(func() error {
		if caughtUp(0).Year() < 2000 || caughtUp(1).Year() < 2000 {
			return errors.New("never caught up")
		}
		return nil
	})
	w.setEpoch(1, "sealed") // nothing is applied
	w.send(0, w.batch("A"))
	p.awaitLog("waiting for an open epoch")
	stuck, other := caughtUp(0), caughtUp(1)
	w.eventually(func() error {
		if !caughtUp(1).After(other.Add(time.Second)) {
			return errors.New("the idle partition makes no progress")
		}
		return nil
	})
	if at := caughtUp(0); at.After(stuck) {
		t.Errorf("a partition with a record that is not applied was caught up %v later", at.Sub(stuck))
	}
	w.setEpoch(1, "open")
	w.awaitVotes("A", 1)
	w.eventually(func() error {
		if !caughtUp(0).After(stuck) {
			return errors.New("it has not caught up")
		}
		return nil
	})
}

// Hole H24: the same batch on two partitions, and two persisters at once.
func TestDuplicatesOnTwoPartitions(t *testing.T) {
	w := newTown(t, 2)
	first, second := w.start(), w.start()
	first.awaitReady()
	second.awaitReady()
	const batches = 150
	for range batches {
		b := w.batch("A", "B", "C")
		w.send(0, b)
		w.send(1, b)
	}
	w.awaitOffset(0, batches)
	w.awaitOffset(1, batches)
	w.awaitVotes("A", batches)
	if n := query[int](w, "SELECT count(*) FROM vote_logs"); n != 3*batches {
		t.Errorf("%d ledger rows, want %d", n, 3*batches)
	}
}

func TestEpochOverAndCertified(t *testing.T) {
	w := newTown(t, 2)
	late := w.batch("A")
	current := w.batch("B")
	current.Epoch = 2
	certified := w.batch("C")
	certified.Epoch, certified.Ballot = 2, "cast"
	w.setEpoch(2, "open")
	w.exec("UPDATE ballots SET state = 'certified' WHERE ballot = 'cast'")
	w.exec("INSERT INTO results (ballot, counts, votes) VALUES ('cast', '{}', 0)")
	w.send(0, late, current, certified)
	p := w.start()
	w.awaitOffset(0, 3)
	w.awaitVotes("B", 1)
	w.awaitVotes("A", 0)
	if n := query[int](w, "SELECT count(*) FROM vote_logs"); n != 1 {
		t.Errorf("%d ledger rows, want 1", n)
	}
	for id, reason := range map[string]string{
		uuid.UUID(late.GetBatchId()).String():      "epoch_over",
		uuid.UUID(certified.GetBatchId()).String(): "certified",
	} {
		got := query[string](w, "SELECT coalesce((SELECT reason FROM dropped_batches WHERE batch_id = $1::uuid), 'none')", id)
		if got != reason {
			t.Errorf("the reason of batch %s is %s, want %s", id, got, reason)
		}
	}
	p.awaitLog("WARN batches without effect")
}

func TestSealedAndMissingEpochAreWaitedFor(t *testing.T) {
	w := newTown(t, 1)
	w.exec("DELETE FROM ledger_epoch")
	w.send(0, w.batch("A"))
	p := w.start()
	p.awaitLog("waiting for an open epoch")
	p.awaitReady() // that is nobody's fault
	if got := w.offset(0); got != 0 {
		t.Errorf("the offset moved to %d without an epoch", got)
	}
	w.setEpoch(1, "open")
	w.awaitVotes("A", 1)
}

func TestS63S69ABurstIsWrittenInBatches(t *testing.T) {
	w := newTown(t, 8)
	for i := range 200 {
		w.send(i%8, w.batch("A"))
	}
	transactions := make(chan int, 1000)
	p := w.prepare(w.pool, func(_ *Config, p *Persister) {
		p.committed = func(r pgledger.Result) { transactions <- len(r.Verdicts) }
	})
	p.begin()
	w.awaitVotes("A", 200)
	p.stop()
	if n := len(transactions); n > 100 {
		t.Errorf("%d transactions for 200 records: they do not gather", n)
	}
}

// A burst that the database does not take is queued in the log: how far behind it is can be seen meanwhile, and then it drains,
// without loss, and the lag is small again.
func TestS81ABurstIsQueuedWithoutLossAndDrains(t *testing.T) {
	w := newTown(t, 8)
	var transactions atomic.Int64
	p := w.prepare(w.pool, func(_ *Config, p *Persister) {
		p.committed = func(r pgledger.Result) {
			if len(r.Verdicts) > 0 {
				transactions.Add(1)
			}
		}
	})
	p.begin()
	p.awaitReady()
	lag := func() time.Duration {
		keys, err := pgledger.Lookup(t.Context(), w.pool, "main", nil)
		if err != nil {
			t.Fatal(err)
		}
		return keys.Lag
	}
	w.setEpoch(1, "sealed") // the database takes nothing
	const burst = 800
	for n := range burst {
		w.send(n%8, w.batch("A", "B"))
	}
	w.eventually(func() error {
		if behind := p.metrics.behind.Load(); behind != burst || lag() < 1500*time.Millisecond {
			return fmt.Errorf("%d records behind, lag %v", behind, lag())
		}
		return nil
	})
	w.setEpoch(1, "open")
	w.awaitVotes("A", burst)
	w.awaitVotes("B", burst)
	w.eventually(func() error {
		if behind := p.metrics.behind.Load(); behind != 0 || lag() > time.Second {
			return fmt.Errorf("%d records behind, lag %v", behind, lag())
		}
		return nil
	})
	if n := transactions.Load(); n > burst/10 {
		t.Errorf("%d transactions for a burst of %d records", n, burst)
	}
}

func TestS69TransactionsAreBounded(t *testing.T) {
	w := newTown(t, 1)
	for range 20 {
		w.send(0, w.batch("A", "B", "C"))
	}
	transactions := make(chan pgledger.Result, 1000)
	p := w.prepare(w.pool, func(c *Config, p *Persister) {
		c.BatchRecords, c.BatchVotes = 5, 10
		p.committed = func(r pgledger.Result) { transactions <- r }
	})
	p.begin()
	w.awaitVotes("A", 20)
	p.stop()
	close(transactions)
	for r := range transactions {
		if len(r.Verdicts) > 3 {
			t.Errorf("a transaction of %d batches, which have %d votes: the bound is 10", len(r.Verdicts), r.Rows)
		}
	}
}
