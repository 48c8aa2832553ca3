package sim

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
)

// ownership is one process's hold on one partition. It ends when the partition goes to another one, which the owner finds out
// between two transactions: or not, if it sleeps right then.
type ownership struct {
	*db

	partition int32
	over      atomic.Bool
}

// persisters applies what stands in the log until the schedule ends; each partition changes its owner now and then.
func (w *world) persisters() {
	for p := range int32(partitions) {
		w.all.Go(func() {
			for n := 0; ; n++ {
				o := &ownership{db: w.db(fmt.Sprintf("persister %d of %d", n, p)), partition: p}
				w.all.Go(o.run)
				next := w.plan.rebalance + rand3(w.dice(o.who), w.plan.rebalance)
				if !sleep(w.stop, next) {
					return
				}
				o.over.Store(true)
			}
		})
	}
}

func (o *ownership) run() {
	ctx := o.stop
	for ctx.Err() == nil && !o.over.Load() {
		next, err := read(ctx, o.db, "offset", func(p *postgres) (int64, error) { return p.offsets[o.partition].next, nil })
		if err == nil {
			err = o.session(ctx, next)
		}
		if pgledger.Permanent(err) {
			o.fail("a partition halts: %v", err)
			return
		}
		sleep(ctx, 50*time.Millisecond+rand3(o.dice(o.who+" pause"), time.Millisecond))
	}
}

// session applies records from next on.
func (o *ownership) session(ctx context.Context, next int64) error {
	for ctx.Err() == nil && !o.over.Load() {
		d := o.dice(o.who + " poll")
		records := o.poll(next, 1+d.IntN(5))
		if len(records) == 0 {
			if err := o.caughtUp(ctx, next); err != nil {
				return err
			}
			sleep(ctx, 60*time.Millisecond+rand3(d, 10*time.Millisecond))
			continue
		}
		b := pgledger.Batch{Offsets: []pgledger.OffsetMove{{
			TopicID: o.log.id, Partition: o.partition, From: next, To: next + int64(len(records)),
		}}}
		for _, value := range records {
			batch, err := events.Decode(value)
			if err != nil {
				o.fail("a record is not ours: %v", err)
				return err
			}
			b.Events = append(b.Events, pgledger.Event{VoteBatch: batch, Record: value})
		}
		if d.Float64() < o.rate(o.plan.zombies) {
			sleep(ctx, rand3(d, 4*time.Second)) // and the partition may be another's meanwhile
		}
		err := o.apply(ctx, b)
		switch {
		case errors.Is(err, pgledger.ErrZombie) || pgledger.Permanent(err):
			return err
		case err != nil:
			sleep(ctx, 20*time.Millisecond+rand3(d, 100*time.Millisecond))
			continue
		}
		next += int64(len(records))
	}
	return nil
}

func (o *ownership) apply(ctx context.Context, b pgledger.Batch) error {
	if o.plan.wrong.offsetFirst {
		if _, err := (ledger{o.db}).Apply(ctx, pgledger.Batch{Offsets: b.Offsets}); err != nil {
			return err
		}
		b.Offsets = nil
	}
	_, err := ledger{o.db}.Apply(ctx, b)
	return err
}

func (o *ownership) poll(next int64, most int) [][]byte {
	if _, away := o.within(o.plan.kafkaAway); away {
		return nil
	}
	return o.log.read(o.partition, next, most)
}

// caughtUp says so, by a moment from before the end of the partition was looked at.
func (o *ownership) caughtUp(ctx context.Context, next int64) error {
	at := time.Now()
	if _, away := o.within(o.plan.kafkaAway); away || o.log.end(o.partition) > next {
		return nil
	}
	_, err := read(ctx, o.db, "caught up", func(p *postgres) (none, error) {
		if row := p.offsets[o.partition]; row.next == next && at.After(row.caughtUp) {
			row.caughtUp = at
		}
		return none{}, nil
	})
	return err
}
