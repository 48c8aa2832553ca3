package persist

import (
	"context"
	"log/slog"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/testenv"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// BenchmarkCatchUp is how fast one persister works off what waits in eight partitions, in batches of 200 votes.
func BenchmarkCatchUp(b *testing.B) {
	const records, votes = 4000, 200
	cfg := Config{
		ID: "bench", Group: "bench", Kafka: config.DefaultKafka(), Participant: config.DefaultParticipant(),
		BatchRecords: 5000, BatchVotes: 20_000, BufferBytes: 8 << 20,
		TransactionTimeout: patience, SessionTimeout: 6e9, GroupHeartbeat: 5e8,
	}
	cfg.Kafka.Brokers, cfg.Kafka.TopicPrefix = testenv.Kafka(b), testenv.Topic(b)
	url, log := testenv.Postgres(b), slog.New(slog.DiscardHandler)
	if err := pgledger.Migrate(b.Context(), url, log); err != nil {
		b.Fatal(err)
	}
	pg := config.DefaultPostgres()
	pg.URL = url
	pool, err := pgledger.Open(b.Context(), pg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	if _, err := pool.Exec(b.Context(), "INSERT INTO ledger_epoch VALUES (1, 1, 'redis', 'open', 'ns', '', false, 'test')"); err != nil {
		b.Fatal(err)
	}
	client, err := events.NewProducer(cfg.Kafka, log)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	topics := events.NewTopics(cfg.Kafka.TopicPrefix)
	if _, err := events.EnsureTopics(b.Context(), client, cfg.Kafka, topics); err != nil {
		b.Fatal(err)
	}
	first := int64(1)
	for b.Loop() {
		b.StopTimer()
		for i := range records {
			value, err := events.Encode(benchBatch(votes, first))
			if err != nil {
				b.Fatal(err)
			}
			first += votes
			client.Produce(b.Context(), &kgo.Record{Topic: topics.Votes, Key: events.Key("main", uint32(i)), Value: value}, nil)
		}
		if err := client.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		p, err := New(cfg, pool, client, noop.Meter{}, log)
		if err != nil {
			b.Fatal(err)
		}
		left, begun := records, make(chan struct{})
		p.committed = func(r pgledger.Result) {
			if left == records {
				close(begun) // joining the group is not counted
			}
			if left -= len(r.Verdicts); left == 0 {
				cancel()
			}
		}
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		<-begun
		b.StartTimer()
		<-ctx.Done()
		b.StopTimer()
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(records*votes*float64(b.N)/b.Elapsed().Seconds(), "votes/s")
}

func benchBatch(votes int, first int64) *eventv1.VoteBatch {
	id := uuid.Must(uuid.NewV7())
	b := &eventv1.VoteBatch{
		Format: 1, BatchId: id[:], Epoch: 1, Ballot: "main", AdmittedAtMs: 1_795_000_000_000 + first,
		TicketVersion: "1.1.0", FirstAdmissionNumber: first, Candidates: []string{"A", "B", "C", "D", "E", "F", "G", "H"},
	}
	for i := range votes {
		vote := uuid.Must(uuid.NewV7())
		b.Votes = append(b.Votes, &eventv1.VoteEvent{VoteId: vote[:], Candidates: []uint32{uint32(i % 8)}, Deltas: []int64{1}})
	}
	return b
}
