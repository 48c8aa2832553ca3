package system

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/tools/internal/scope"
)

// restTimeout bounds the wait until nothing is on its way any more.
const restTimeout = 30 * time.Second

// Stores are where a system keeps its votes.
type Stores struct {
	Redis       string // URL
	Kafka       []string
	TopicPrefix string
	Postgres    string // URL
	// PostgresReplica is the URL of a replica for reads; empty for none.
	PostgresReplica string
}

// View looks into the stores from outside.
type View struct {
	Stores

	Pool     *pgxpool.Pool
	Ledger   *redisledger.Ledger
	Kafka    *kadm.Client
	Topics   events.Topics
	programs string
}

// Look opens the stores for as long as the scope goes on.
func Look(t scope.Scope, programs string, s Stores) *View {
	t.Helper()
	v := &View{Stores: s, Topics: events.NewTopics(s.TopicPrefix), programs: programs}
	v.MovePostgres(t, s.Postgres)
	v.MoveRedis(t, s.Redis)
	client, err := events.NewClient(config.Kafka{Brokers: s.Kafka}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	v.Kafka = kadm.NewClient(client)
	return v
}

// MovePostgres makes it look into another Postgres, and services that are started from now on use it.
func (v *View) MovePostgres(t scope.Scope, url string) {
	t.Helper()
	pool, err := pgledger.Open(t.Context(), config.Postgres{URL: url, PoolSize: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	v.Postgres, v.Pool = url, pool
}

// MoveRedis makes it look into another Redis.
func (v *View) MoveRedis(t scope.Scope, url string) {
	t.Helper()
	rdb, err := redisledger.Open(url, 4, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	v.Redis, v.Ledger = url, redisledger.New(rdb)
}

// leaveNothing removes what the test made on servers that it shares with others.
func (v *View) leaveNothing(t scope.Scope) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), restTimeout)
	defer cancel()
	if epoch, err := pgledger.CurrentEpoch(ctx, v.Pool); err == nil && epoch.NS != "" {
		_ = v.Ledger.Unlink(ctx, epoch.NS) // an embedded Redis may be gone
	}
	_, _ = v.Kafka.DeleteTopics(ctx, v.Topics.Votes, v.Topics.DeadLetters, v.Topics.Dropped)
}

// AwaitRest waits until nothing is on its way: an epoch is open, no batch stands in an outbox, every record in the log is
// applied, and of every ticket that was used the cap and the window are known.
func (v *View) AwaitRest(t scope.Scope) {
	t.Helper()
	began := time.Now()
	var last error
	scope.Eventually(t, restTimeout, func() error {
		err := v.AtRest(t.Context())
		if err != nil {
			last = err
		}
		return err
	})
	if took := time.Since(began); took > time.Second {
		t.Logf("at rest after %v; the last to wait for: %v", took.Round(time.Millisecond), last)
	}
}

// AtRest says what is still on its way, if anything is.
func (v *View) AtRest(ctx context.Context) error {
	err := v.outboxesEmpty(ctx)
	if err == nil {
		err = v.caughtUp(ctx)
	}
	if err == nil {
		err = v.ticketsKnown(ctx)
	}
	return err
}

func (v *View) outboxesEmpty(ctx context.Context) error {
	epoch, err := pgledger.CurrentEpoch(ctx, v.Pool)
	if err != nil {
		return err
	}
	if epoch.State != "open" {
		return fmt.Errorf("epoch %d is %s", epoch.Number, epoch.State)
	}
	if epoch.Mode != "redis" {
		return fmt.Errorf("epoch %d is in %s", epoch.Number, epoch.Mode)
	}
	ballots, err := pgledger.Ballots(ctx, v.Pool)
	if err != nil {
		return err
	}
	fence := redisledger.Fence{Epoch: epoch.Number, NS: epoch.NS}
	for _, b := range ballots {
		_, oldest, err := v.Ledger.Due(ctx, fence, b.Name, time.Hour, 1)
		if err != nil {
			return fmt.Errorf("outbox of %s: %w", b.Name, err)
		}
		if oldest >= 0 {
			return fmt.Errorf("the outbox of %s holds a batch that is %v old", b.Name, oldest)
		}
	}
	return nil
}

func (v *View) caughtUp(ctx context.Context) error {
	topic, err := events.Describe(ctx, v.Kafka, v.Topics.Votes)
	if err != nil {
		return err
	}
	ends, err := v.Kafka.ListEndOffsets(ctx, v.Topics.Votes)
	if err != nil {
		return err
	}
	if err := ends.Error(); err != nil {
		return err
	}
	next := map[int32]int64{}
	rows, err := v.Pool.Query(ctx, "SELECT partition, next FROM offsets WHERE topic_id = $1", [16]byte(topic.ID))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var partition int32
		var offset int64
		if err := rows.Scan(&partition, &offset); err != nil {
			return err
		}
		next[partition] = offset
	}
	if err := rows.Err(); err != nil {
		return err
	}
	var behind []string
	ends.Each(func(o kadm.ListedOffset) {
		if next[o.Partition] < o.Offset {
			behind = append(behind, fmt.Sprintf("partition %d at %d of %d", o.Partition, next[o.Partition], o.Offset))
		}
	})
	if len(behind) > 0 {
		return fmt.Errorf("not applied yet: %s", strings.Join(behind, ", "))
	}
	return nil
}

func (v *View) ticketsKnown(ctx context.Context) error {
	var unknown int
	if err := v.Pool.QueryRow(ctx, "SELECT count(*) FROM tickets WHERE created_at IS NULL").Scan(&unknown); err != nil {
		return err
	}
	if unknown > 0 {
		return fmt.Errorf("of %d tickets only the uses are known", unknown)
	}
	return nil
}
