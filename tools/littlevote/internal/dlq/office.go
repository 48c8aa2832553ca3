package dlq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/events"

	"github.com/littlevote/littlevote/tools/littlevote/internal/reach"
)

// office is where dead letters are: their topic, and the table of what was done with them.
type office struct {
	reach    *reach.Stores
	topics   events.Topics
	topic    events.Topic // of the dead letters
	producer *kgo.Client
	pool     *pgxpool.Pool
	first    map[int32]int64 // offset of the oldest record of each partition
	end      map[int32]int64 // and of the one after the newest
}

func open(ctx context.Context, s *reach.Stores) (*office, error) {
	d := &office{reach: s, topics: s.Topics()}
	var err error
	if d.pool, err = s.Pool(ctx); err != nil {
		return nil, err
	}
	// A dead letter may be a little larger than what a vote-service writes.
	d.producer, err = events.NewProducer(s.KafkaConfig(), slog.New(slog.DiscardHandler), kgo.ProducerBatchMaxBytes(2<<20))
	if err == nil {
		err = d.look(ctx)
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *office) close() {
	if d.producer != nil {
		d.producer.Close()
	}
	d.pool.Close()
}

// look finds the topic and its bounds.
func (d *office) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stallTime)
	defer cancel()
	admin := kadm.NewClient(d.producer)
	var err error
	d.topic, err = events.Describe(ctx, admin, d.topics.DeadLetters)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("there is no topic %s: no persister has run there, or --kafka-topic-prefix is another one", d.topics.DeadLetters)
	}
	if err != nil {
		return fmt.Errorf("look at topic %s: %w", d.topics.DeadLetters, err)
	}
	if d.first, d.end, err = events.Bounds(ctx, admin, d.topics.DeadLetters); err != nil {
		return fmt.Errorf("look at topic %s: %w", d.topics.DeadLetters, err)
	}
	return nil
}

// scan passes on every letter that was there when the command began and that the filter lets through.
func (d *office) scan(ctx context.Context, which filter, f func(*letter) error) error {
	handled, err := d.handled(ctx)
	if err != nil {
		return err
	}
	left := map[int32]kgo.Offset{}
	for partition, first := range d.first {
		if first < d.end[partition] {
			left[partition] = kgo.NewOffset().At(first)
		}
	}
	return d.read(ctx, left, d.end, func(r *kgo.Record) error {
		l := newLetter(r)
		l.action, l.handledAt = handled[l.address].action, handled[l.address].at
		if !which.passes(l) {
			return nil
		}
		return f(l)
	})
}

// each passes on the letters at the addresses. It goes on after one that fails.
func (d *office) each(ctx context.Context, texts []string, f func(*letter) error) error {
	handled, err := d.handled(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, text := range texts {
		at, err := parseAddress(text)
		if err != nil {
			return err
		}
		l, err := d.fetch(ctx, at)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		l.action, l.handledAt = handled[at].action, handled[at].at
		if err := f(l); err != nil {
			errs = append(errs, err)
		}
		handled[at] = handling{l.action, l.handledAt} // the same address may come twice
	}
	return errors.Join(errs...)
}

func (d *office) fetch(ctx context.Context, at address) (*letter, error) {
	if first, end := d.first[at.partition], d.end[at.partition]; at.offset < first || at.offset >= end {
		return nil, fmt.Errorf("%s: there is no such letter: %s", at, bounds(at.partition, first, end))
	}
	var found *letter
	from := map[int32]kgo.Offset{at.partition: kgo.NewOffset().At(at.offset)}
	to := map[int32]int64{at.partition: at.offset + 1}
	err := d.read(ctx, from, to, func(r *kgo.Record) error {
		if r.Offset == at.offset {
			found = newLetter(r)
		}
		return nil
	})
	if err == nil && found == nil {
		err = fmt.Errorf("%s: there is no such letter", at)
	}
	return found, err
}

func bounds(partition int32, first, end int64) string {
	if first == end {
		return fmt.Sprintf("partition %d has none", partition)
	}
	return fmt.Sprintf("partition %d has %d to %d", partition, first, end-1)
}

// read passes on the records from one offset of each partition to another, which are there.
func (d *office) read(ctx context.Context, from map[int32]kgo.Offset, to map[int32]int64, f func(*kgo.Record) error) error {
	if len(from) == 0 {
		return nil
	}
	reader, err := d.reach.Client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{d.topics.DeadLetters: from}))
	if err != nil {
		return err
	}
	defer reader.Close()
	left := len(from)
	for left > 0 {
		limited, cancel := context.WithTimeout(ctx, stallTime)
		fetches := reader.PollFetches(limited)
		cancel()
		if err := fetches.Err0(); err != nil {
			return fmt.Errorf("read %s: %w", d.topics.DeadLetters, err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if r.Offset >= to[r.Partition] {
				continue
			}
			if r.Offset == to[r.Partition]-1 {
				left--
			}
			if err := f(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// handling is what was done with a letter.
type handling struct {
	action string
	at     time.Time
}

func (d *office) handled(ctx context.Context) (map[address]handling, error) {
	ctx, cancel := context.WithTimeout(ctx, stallTime)
	defer cancel()
	rows, err := d.pool.Query(ctx, `SELECT partition, "offset", action, handled_at FROM dead_letters WHERE topic_id = $1`, d.topic.ID)
	if err != nil {
		return nil, fmt.Errorf("read what was done with letters: %w", err)
	}
	all := map[address]handling{}
	var (
		at address
		h  handling
	)
	if _, err := pgx.ForEachRow(rows, []any{&at.partition, &at.offset, &h.action, &h.at}, func() error {
		all[at] = h
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read what was done with letters: %w", err)
	}
	return all, nil
}
