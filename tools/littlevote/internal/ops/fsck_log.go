package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"

	"github.com/littlevote/littlevote/tools/littlevote/internal/reach"
)

const (
	// stallTime is how long Kafka may take to answer.
	stallTime = 20 * time.Second
	// votesAtOnce is how many votes are looked up together.
	votesAtOnce = 5000
)

// checkLog compares the offsets of the snapshot with the log, and every record before them with what became of it.
func (f *fsck) checkLog(ctx context.Context, tx pgx.Tx) error {
	if len(f.stores.Brokers) == 0 {
		f.skip("Kafka, which was not given")
		return nil
	}
	next, err := pgledger.NextOffsets(ctx, tx)
	if err != nil {
		return err
	}
	if len(next) == 0 {
		f.skip("Kafka: no persister has ever run")
		return nil
	}
	log := topicLog{stores: &f.stores, name: f.stores.Topics().Votes}
	if err := log.look(ctx); err != nil {
		return err
	}
	for id := range next {
		if id != log.topic {
			f.found([]pgledger.Finding{{
				Check: "offsets", Row: id.String(),
				Text: fmt.Sprintf("offsets are those of a topic that is gone: %s has the id %s now", log.name, log.topic),
			}})
		}
	}
	f.found(log.bound(next[log.topic]))
	c := &recordCheck{fsck: f, tx: tx, log: &log}
	if err := log.read(ctx, func(r *kgo.Record) error { return c.take(ctx, r) }); err != nil {
		return err
	}
	if err := c.flush(ctx); err != nil {
		return err
	}
	return c.checkLetters(ctx)
}

// topicLog is a topic from its oldest record up to some offsets.
type topicLog struct {
	stores *reach.Stores
	name   string
	topic  uuid.UUID
	first  map[int32]int64
	to     map[int32]int64 // where reading ends; at first the end of the log
	total  int64           // records between, once bound
}

// look finds the topic and its bounds.
func (l *topicLog) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stallTime)
	defer cancel()
	client, err := l.stores.Client()
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	topic, err := events.Describe(ctx, admin, l.name)
	if err != nil {
		return fmt.Errorf("look at topic %s: %w", l.name, err)
	}
	l.topic = topic.ID
	if l.first, l.to, err = events.Bounds(ctx, admin, l.name); err != nil {
		return fmt.Errorf("look at topic %s: %w", l.name, err)
	}
	return nil
}

// bound ends the log where the persister had come to, and says which offsets are outside of it.
func (l *topicLog) bound(next map[int32]int64) []pgledger.Finding {
	var found []pgledger.Finding
	wrong := func(partition int32, want int64, format string) {
		found = append(found, pgledger.Finding{
			Check: "offsets", Row: fmt.Sprintf("%s %d", l.name, partition), Want: want, Got: next[partition],
			Text: fmt.Sprintf(format, want, next[partition]),
		})
	}
	for partition := int32(0); int(partition) < len(l.to); partition++ {
		first, end := l.first[partition], l.to[partition]
		at, known := next[partition]
		switch {
		case known && at > end:
			wrong(partition, end, "the log ends at %d, offsets goes on at %d: the log has lost records, or is another one")
		case known && at < first:
			wrong(partition, first, "the log begins at %d, offsets goes on at %d: the records between were never applied")
		}
		l.to[partition] = min(max(at, first), end)
		l.total += l.to[partition] - first
	}
	return found
}

// read passes on all records up to where reading ends.
func (l *topicLog) read(ctx context.Context, f func(*kgo.Record) error) error {
	from := map[int32]kgo.Offset{}
	for partition, end := range l.to {
		if l.first[partition] < end {
			from[partition] = kgo.NewOffset().At(l.first[partition])
		}
	}
	if len(from) == 0 {
		return nil
	}
	client, err := l.stores.Client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{l.name: from}))
	if err != nil {
		return err
	}
	defer client.Close()
	for left := len(from); left > 0; {
		limited, cancel := context.WithTimeout(ctx, stallTime)
		fetches := client.PollFetches(limited)
		cancel()
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s: %w", l.name, err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			end := l.to[r.Partition]
			if r.Offset == end-1 {
				left--
			}
			if r.Offset < end {
				if err := f(r); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// recordCheck looks records up in bunches.
type recordCheck struct {
	fsck    *fsck
	tx      pgx.Tx
	log     *topicLog
	batches []pgledger.PlacedEvent
	votes   int
	foreign map[place]error // records that are no vote batch, and why
}

// place is a record's, inside a topic.
type place struct {
	partition int32
	offset    int64
}

func (c *recordCheck) take(ctx context.Context, r *kgo.Record) error {
	c.fsck.report.Records++
	b, err := events.Decode(r.Value)
	if err != nil {
		if c.foreign == nil {
			c.foreign = map[place]error{}
		}
		c.foreign[place{r.Partition, r.Offset}] = err
		return nil
	}
	c.batches = append(c.batches, pgledger.PlacedEvent{Event: pgledger.Event{VoteBatch: b}, Place: c.at(place{r.Partition, r.Offset})})
	if c.votes += len(b.GetVotes()); c.votes < votesAtOnce {
		return nil
	}
	return c.flush(ctx)
}

func (c *recordCheck) at(p place) string {
	return fmt.Sprintf("%s %d:%d", c.log.name, p.partition, p.offset)
}

func (c *recordCheck) flush(ctx context.Context) error {
	if len(c.batches) == 0 {
		return nil
	}
	found, err := pgledger.CheckRecords(ctx, c.tx, c.batches)
	if err != nil {
		return err
	}
	c.fsck.found(found)
	c.batches, c.votes = nil, 0
	c.fsck.progress(fmt.Sprintf("checking the log: %d of %d records", c.fsck.report.Records, c.log.total))
	return nil
}

// checkLetters looks for a dead letter for each record that is no vote batch.
func (c *recordCheck) checkLetters(ctx context.Context) error {
	if len(c.foreign) == 0 {
		return nil
	}
	letters := topicLog{stores: &c.fsck.stores, name: c.fsck.stores.Topics().DeadLetters}
	err := letters.look(ctx)
	if err == nil {
		err = letters.read(ctx, func(r *kgo.Record) error {
			if letter, err := events.ReadDeadLetter(r); err == nil && letter.Topic == c.log.name {
				delete(c.foreign, place{letter.Partition, letter.Offset})
			}
			return nil
		})
	}
	if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return err
	}
	missing := slices.SortedFunc(maps.Keys(c.foreign), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.offset, b.offset))
	})
	for _, p := range missing {
		c.fsck.found([]pgledger.Finding{{
			Check: "record", Row: c.at(p), Want: 1, Text: fmt.Sprintf("%v, and there is no dead letter of it", c.foreign[p]),
		}})
	}
	return nil
}
