package voting

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/sony/gobreaker/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/tracing"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// How the breaker behaves: one failure opens it, since Postgres takes the batch as well; after a pause one batch may try
// again, for a short while, as the votes in it and behind it wait.
const (
	breakerPause = time.Second
	probeTimeout = 200 * time.Millisecond
)

// Log writes batches to the topic of the votes.
type Log struct {
	client  *kgo.Client
	admin   *kadm.Client
	topic   string
	timeout time.Duration
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
}

// NewLog returns a log over a producing client (see events.NewProducer).
func NewLog(client *kgo.Client, topic string, timeout time.Duration) *Log {
	return &Log{
		client:  client,
		admin:   kadm.NewClient(client),
		topic:   topic,
		timeout: timeout,
		breaker: gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
			Name:        "kafka",
			Timeout:     breakerPause,
			MaxRequests: 1,
			ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 1 },
		}),
	}
}

// errNoAnswer says that the brokers did not answer in time.
var errNoAnswer = errors.New("no answer from Kafka in time")

// Produce implements Topic.
func (l *Log) Produce(ctx context.Context, record *eventv1.VoteBatch, lane uint32) (sent bool, err error) {
	value, err := events.Encode(record)
	if err != nil {
		return false, err
	}
	timeout := l.timeout
	if l.breaker.State() != gobreaker.StateClosed {
		timeout = min(timeout, probeTimeout)
	}
	done, err := l.breaker.Allow()
	if err != nil {
		return false, fmt.Errorf("kafka: %w", err)
	}
	r := &kgo.Record{Topic: l.topic, Key: events.Key(record.GetBallot(), lane), Value: value}
	events.Inject(ctx, r)
	err = l.write(ctx, timeout, r)
	done(err)
	return true, err
}

func (l *Log) write(ctx context.Context, timeout time.Duration, r *kgo.Record) (err error) {
	ctx, span := tracing.StartKind(ctx, trace.SpanKindProducer, "produce")
	if span.IsRecording() {
		span.SetAttributes(attribute.String("messaging.system", "kafka"), attribute.String("messaging.destination.name", l.topic),
			attribute.Int("messaging.message.body.size", len(r.Value)))
	}
	defer func() { tracing.End(span, err) }()
	// The client does not take back what it has sent, so the wait is ours; what it has not sent yet it drops.
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	result := make(chan error, 1)
	l.client.Produce(ctx, r, func(_ *kgo.Record, err error) { result <- err })
	select {
	case err := <-result:
		if err == nil && span.IsRecording() {
			span.SetAttributes(attribute.Int64("messaging.destination.partition.id", int64(r.Partition)),
				attribute.Int64("messaging.kafka.offset", r.Offset))
		}
		return err
	case <-ctx.Done():
		return errNoAnswer
	}
}

// EndOffsets is what a change of epoch asks: the topic's id and where each partition ends now.
func (l *Log) EndOffsets(ctx context.Context) (uuid.UUID, map[int32]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	topic, err := events.Describe(ctx, l.admin, l.topic)
	if err != nil {
		return uuid.Nil, nil, err
	}
	listed, err := l.admin.ListEndOffsets(ctx, l.topic)
	if err != nil {
		return uuid.Nil, nil, err
	}
	if err := listed.Error(); err != nil {
		return uuid.Nil, nil, err
	}
	ends := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	if len(ends) != topic.Partitions {
		return uuid.Nil, nil, fmt.Errorf("%d end offsets of %d partitions", len(ends), topic.Partitions)
	}
	return topic.ID, ends, nil
}
