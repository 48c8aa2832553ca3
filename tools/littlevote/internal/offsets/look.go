package offsets

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/littlevote/littlevote/libs/events"

	"github.com/littlevote/littlevote/tools/littlevote/internal/reach"
)

// stallTime is how long Kafka or Postgres may take for one answer.
const stallTime = 15 * time.Second

// What may be the case with a partition.
const (
	fine     = "ok"
	unread   = "no persister has looked yet"
	gone     = "records are gone before they were read"
	cutOff   = "Kafka has fewer records than were applied"
	newTopic = "the topic was made anew"
)

// Partition is what Postgres and Kafka say of one.
type Partition struct {
	Partition  int32      `json:"partition"`
	Next       int64      `json:"next"` // where it goes on; -1 if it is not known
	First      int64      `json:"first"`
	End        int64      `json:"end"`
	Behind     int64      `json:"behind"`
	CaughtUpAt *time.Time `json:"caughtUpAt,omitempty"`
	State      string     `json:"state"`
}

// Halted says that no persister goes on here before a person has accepted what is lost.
func (p Partition) Halted() bool { return p.State == gone || p.State == cutOff || p.State == newTopic }

// Overview is all partitions of the topic, and the topic that the offsets belong to.
type Overview struct {
	Topic      string      `json:"topic"`
	ID         uuid.UUID   `json:"id"`
	OldID      *uuid.UUID  `json:"oldId,omitempty"` // of the topic that the offsets belong to, if that is another one
	Partitions []Partition `json:"partitions"`
}

// Look compares Postgres with Kafka.
func Look(ctx context.Context, s *reach.Stores, pool *pgxpool.Pool) (Overview, error) {
	ctx, cancel := context.WithTimeout(ctx, stallTime)
	defer cancel()
	o, err := lookAtKafka(ctx, s)
	if err != nil {
		return Overview{}, err
	}
	rows, err := pool.Query(ctx, "SELECT topic_id, partition, next, caught_up_at FROM offsets ORDER BY partition")
	if err != nil {
		return Overview{}, fmt.Errorf("read offsets: %w", err)
	}
	var (
		id       uuid.UUID
		number   int32
		next     int64
		caughtUp time.Time
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &number, &next, &caughtUp}, func() error {
		if id != o.ID {
			o.OldID = &id
		}
		if int(number) < len(o.Partitions) {
			at := caughtUp
			o.Partitions[number].Next, o.Partitions[number].CaughtUpAt = next, &at
		}
		return nil
	})
	if err != nil {
		return Overview{}, fmt.Errorf("read offsets: %w", err)
	}
	for i := range o.Partitions {
		o.Partitions[i].judge(o.OldID != nil)
	}
	return o, nil
}

func lookAtKafka(ctx context.Context, s *reach.Stores) (Overview, error) {
	client, err := s.Client()
	if err != nil {
		return Overview{}, err
	}
	defer client.Close()
	admin, name := kadm.NewClient(client), s.Topics().Votes
	topic, err := events.Describe(ctx, admin, name)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return Overview{}, fmt.Errorf("there is no topic %s: no service has run there, or --kafka-topic-prefix is another one", name)
	}
	if err != nil {
		return Overview{}, fmt.Errorf("look at topic %s: %w", name, err)
	}
	first, end, err := events.Bounds(ctx, admin, name)
	if err != nil {
		return Overview{}, fmt.Errorf("look at topic %s: %w", name, err)
	}
	o := Overview{Topic: name, ID: topic.ID, Partitions: make([]Partition, topic.Partitions)}
	for i := range o.Partitions {
		partition := int32(i)
		o.Partitions[i].Partition, o.Partitions[i].Next = partition, -1
		o.Partitions[i].First, o.Partitions[i].End = first[partition], end[partition]
	}
	return o, nil
}

func (p *Partition) judge(otherTopic bool) {
	p.State = fine
	switch {
	case otherTopic:
		p.State = newTopic
	case p.Next < 0:
		p.State = unread
	case p.Next < p.First:
		p.State = gone
	case p.Next > p.End:
		p.State = cutOff
	default:
		p.Behind = p.End - p.Next
	}
}

// lost says in words what accepting costs.
func (p Partition) lost() string {
	since := ""
	if p.CaughtUpAt != nil && p.CaughtUpAt.Year() > 1970 {
		since = " Everything that was appended before " + p.CaughtUpAt.UTC().Format(time.RFC3339) + " is applied."
	}
	switch p.State {
	case gone:
		return fmt.Sprintf("records %d to %d are gone from Kafka, and nobody has read them.%s", p.Next, p.First-1, since)
	case cutOff:
		return fmt.Sprintf("it is applied up to %d, and Kafka ends at %d: Kafka has lost records. Those that were applied count; others may be lost, too.%s",
			p.Next, p.End, since)
	default:
		return "the topic was deleted and made anew: what stood in the old one and was not applied is lost." + since
	}
}

// accept lets halted partitions go on at the first record that Kafka has. Each moves only from where it was seen.
func accept(ctx context.Context, pool *pgxpool.Pool, o Overview, chosen []Partition) error {
	ctx, cancel := context.WithTimeout(ctx, stallTime)
	defer cancel()
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if o.OldID != nil {
			return adopt(ctx, tx, o)
		}
		for _, p := range chosen {
			tag, err := tx.Exec(ctx, "UPDATE offsets SET next = $1, caught_up_at = 'epoch' WHERE topic_id = $2 AND partition = $3 AND next = $4",
				p.First, o.ID, p.Partition, p.Next)
			if err == nil && tag.RowsAffected() != 1 {
				err = errors.New("its offset has moved meanwhile: look again")
			}
			if err != nil {
				return fmt.Errorf("partition %d: %w", p.Partition, err)
			}
		}
		return nil
	})
}

// adopt gives the offsets to the new topic, all of them: the old one is gone.
func adopt(ctx context.Context, tx pgx.Tx, o Overview) error {
	if _, err := tx.Exec(ctx, "DELETE FROM offsets WHERE topic_id = $1", *o.OldID); err != nil {
		return err
	}
	for _, p := range o.Partitions {
		_, err := tx.Exec(ctx, "INSERT INTO offsets (topic_id, partition, next, caught_up_at) VALUES ($1, $2, $3, 'epoch')", o.ID, p.Partition, p.First)
		if err != nil {
			return fmt.Errorf("partition %d: %w", p.Partition, err)
		}
	}
	return nil
}
