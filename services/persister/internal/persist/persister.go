package persist

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
)

// leaveTimeout bounds what a stop waits for each store, after the transaction in hand.
const leaveTimeout = time.Second

// Config is how a persister works.
type Config struct {
	ID                 string // of this process, among all persisters
	Group              string // the consumer group
	Instance           string // a name in the group that outlives the process; empty for none
	Kafka              config.Kafka
	Participant        config.Participant
	BatchRecords       int // most records of a transaction
	BatchVotes         int // most votes of a transaction, unless one record has more
	BufferBytes        int // most bytes that wait for a transaction
	TransactionTimeout time.Duration
	SessionTimeout     time.Duration // after which the group gives up a member
	GroupHeartbeat     time.Duration // how soon a member hears of another one
	Weak               func(string)  // told once what cannot be promised on these stores
	Tracer             trace.Tracer  // nil: no traces
}

// Persister is one process's share of the work.
type Persister struct {
	cfg      Config
	topics   events.Topics
	pool     *pgxpool.Pool
	producer *kgo.Client // of dead letters; also asks about topics
	admin    *kadm.Client
	log      *slog.Logger
	status   *status
	metrics  *metrics
	weakness sync.Once

	committed func(pgledger.Result) // for tests: called after each transaction
}

// New makes a persister. The producer stays the caller's to close.
func New(cfg Config, pool *pgxpool.Pool, producer *kgo.Client, meter metric.Meter, log *slog.Logger) (*Persister, error) {
	p := &Persister{
		cfg:       cfg,
		topics:    events.NewTopics(cfg.Kafka.TopicPrefix),
		pool:      pool,
		producer:  producer,
		admin:     kadm.NewClient(producer),
		log:       log,
		status:    newStatus(),
		committed: func(pgledger.Result) {},
	}
	var err error
	p.metrics, err = newMetrics(meter, p.status)
	return p, err
}

// Ready says whether the work goes on, and why not.
func (p *Persister) Ready(ctx context.Context) error { return p.status.ready(ctx) }

// Run works until ctx ends. It returns after the transaction in hand, having left the group.
func (p *Persister) Run(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() error { return p.upkeep(ctx) })
	group.Go(func() error { return p.sessions(ctx) })
	err := group.Wait()
	leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if leaving := pgledger.Leave(leave, p.pool, p.cfg.ID); leaving != nil {
		// Its lease ends by itself.
		p.log.WarnContext(ctx, "could not sign off", "error", leaving)
	}
	return err
}

// sessions follows one session by the next.
func (p *Persister) sessions(ctx context.Context) error {
	setup := effort{Persister: p, what: "session"}
	for ctx.Err() == nil {
		s, err := p.newSession(ctx)
		if err == nil {
			setup.succeeded(ctx)
			err = s.run(ctx)
		}
		if ctx.Err() != nil {
			break
		}
		if errors.Is(err, pgledger.ErrZombie) {
			p.log.WarnContext(ctx, "another process has moved an offset of ours: joining the group anew", "error", err)
		}
		setup.failed(ctx, err)
	}
	return nil
}

// newSession makes sure that the topics and the offsets are there and belong together, then joins the group.
func (p *Persister) newSession(ctx context.Context) (*session, error) {
	limited, cancel := context.WithTimeout(ctx, p.cfg.TransactionTimeout)
	defer cancel()
	topic, err := events.EnsureTopics(limited, p.producer, p.cfg.Kafka, p.topics)
	if err != nil {
		return nil, err
	}
	if _, err := pgledger.Offsets(limited, p.pool, topic.ID, topic.Partitions); err != nil {
		return nil, err
	}
	weak, err := pgledger.Weak(limited, p.pool)
	if err != nil {
		return nil, err
	}
	p.weakness.Do(func() {
		for _, text := range slices.Concat(topic.Weak(p.cfg.Kafka), weak) {
			p.log.WarnContext(ctx, "a promise that cannot be kept here", "weak", text)
			p.cfg.Weak(text)
		}
	})
	s, err := newSession(p, topic)
	if err != nil {
		return nil, fmt.Errorf("kafka consumer: %w", err)
	}
	return s, nil
}
