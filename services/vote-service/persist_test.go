package voteservice_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/libs/ticket"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// persist does a persister's work until the test ends, in its simplest form.
func (w *world) persist() {
	w.t.Helper()
	topic, _ := w.ends()
	if _, err := pgledger.Offsets(w.t.Context(), w.pool, topic, w.cfg.Kafka.Partitions); err != nil {
		w.t.Fatal(err)
	}
	client, err := events.NewClient(w.cfg.Kafka, slog.New(slog.DiscardHandler),
		kgo.ConsumeTopics(events.NewTopics(w.cfg.Kafka.TopicPrefix).Votes),
		kgo.FetchMaxWait(20*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan struct{})
	w.t.Cleanup(func() { cancel(); <-done; client.Close() })
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := w.persistOnce(ctx, client); err != nil && ctx.Err() == nil {
				w.t.Error(err)
				return
			}
		}
	}()
}

func (w *world) persistOnce(ctx context.Context, client *kgo.Client) error {
	now, err := pgledger.Beat(ctx, w.pool, "test", events.Format, time.Minute)
	if err != nil {
		return err
	}
	name := events.NewTopics(w.cfg.Kafka.TopicPrefix).Votes
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, name)
	if err != nil {
		return err
	}
	poll, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	var b pgledger.Batch
	topic, err := events.Describe(ctx, kadm.NewClient(client), name)
	if err != nil {
		return err
	}
	client.PollFetches(poll).EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) == 0 {
			return
		}
		for _, r := range p.Records {
			e, decodeErr := events.Decode(r.Value)
			err = errors.Join(err, decodeErr)
			b.Events = append(b.Events, pgledger.Event{VoteBatch: e, Record: r.Value})
		}
		b.Offsets = append(b.Offsets, pgledger.OffsetMove{
			TopicID: topic.ID, Partition: p.Partition, From: p.Records[0].Offset, To: p.Records[len(p.Records)-1].Offset + 1,
		})
	})
	if err != nil {
		return err
	}
	if len(b.Offsets) > 0 {
		if _, err := pgledger.Apply(ctx, w.pool, b); err != nil {
			return err
		}
	}
	caught := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) { caught[o.Partition] = o.Offset })
	return pgledger.CaughtUp(ctx, w.pool, topic.ID, caught, now)
}

// hold sends votes to Postgres, release brings them back.
func (w *world) hold()    { w.setHeld(true) }
func (w *world) release() { w.setHeld(false) }

func (w *world) setHeld(held bool) {
	w.t.Helper()
	before := w.fence()
	_, err := w.pool.Exec(w.t.Context(), "UPDATE ledger_epoch SET held = $1, opened_at = now() - interval '1 hour'", held)
	if err != nil {
		w.t.Fatal(err)
	}
	want := string(epoch.Redis)
	if held {
		want = string(epoch.Postgres)
	}
	testenv.Eventually(w.t, 20*time.Second, func() error {
		e, err := pgledger.CurrentEpoch(w.t.Context(), w.pool)
		if err != nil || e.Number == before.Epoch || e.Mode != want || e.State != "open" {
			return fmt.Errorf("%+v %w", e, err)
		}
		return nil
	})
}

// mintInPostgres makes the next ticket of a ballot in an epoch in Postgres.
func (w *world) mintInPostgres(ballot string, limit int64, interval time.Duration) *votev1.TicketRef {
	w.t.Helper()
	f := w.fence()
	state, err := pgledger.ReadTicket(w.t.Context(), w.pool, f.Epoch, ballot)
	if err != nil {
		w.t.Fatal(err)
	}
	claims := ticket.Claims{
		Ballot: ballot, Epoch: f.Epoch, Number: state.LastNumber + 1, IssuedAt: state.Now, ExpiresAt: state.Now.Add(interval),
	}
	ref := &votev1.TicketRef{Value: w.keys.MintAs(form(ballot), claims), Version: claims.Version()}
	done, _, _, err := pgledger.MintTicket(w.t.Context(), w.pool, f.Epoch, ballot, pgledger.Mint{
		Number: claims.Number, Version: ref.Version, Value: ref.Value, Cap: limit, Interval: interval,
	})
	if err != nil || string(done) != string(redisledger.MintDone) {
		w.t.Fatalf("mint: %s %v", done, err)
	}
	return ref
}

// tally reads a count from Postgres.
func (w *world) tally(ballot, name string) int64 {
	w.t.Helper()
	rows, err := pgledger.Tallies(w.t.Context(), w.pool, ballot, []string{name})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(rows) == 0 {
		return 0
	}
	return rows[0].Votes
}
