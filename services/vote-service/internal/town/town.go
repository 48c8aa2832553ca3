// Package town is what tests of this service's background work share: real stores with an open epoch, and batches whose steps
// (admit, append, apply, settle) the test takes one by one, in any order.
package town

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

// Ballot is the one that tests vote on, where it does not matter which.
const Ballot = "main"

// Town is a Postgres and a Redis with an open epoch, and a log with one partition that nobody reads by himself.
type Town struct {
	t     *testing.T
	Pool  *pgxpool.Pool
	Redis *redisledger.Ledger
	RDB   redis.UniversalClient
	Store epoch.Store
	Topic *Topic

	mu   sync.Mutex
	next int // of the log's records, the first that is not applied
}

// New opens the first epoch, in Redis.
func New(t *testing.T) *Town {
	t.Helper()
	url := testenv.Postgres(t)
	if err := pgledger.Migrate(t.Context(), url, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	w := &Town{t: t, Topic: &Topic{id: uuid.New()}}
	var err error
	if w.Pool, err = pgledger.Open(t.Context(), config.Postgres{URL: url, PoolSize: 10}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Pool.Close)
	if w.RDB, err = redisledger.Open(testenv.Redis(t), 10, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.RDB.Close() })
	w.Redis = redisledger.New(w.RDB)
	w.Store = epoch.NewStore(w.Pool)
	if _, err := pgledger.Offsets(t.Context(), w.Pool, w.Topic.id, 1); err != nil {
		t.Fatal(err)
	}
	if err := w.Store.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.OpenRedis()
	return w
}

// Row is the epoch as Postgres has it.
func (w *Town) Row() pgledger.Epoch {
	w.t.Helper()
	row, err := w.Store.Current(context.WithoutCancel(w.t.Context()))
	if err != nil {
		w.t.Fatal(err)
	}
	return row
}

// Current is what an epoch.Participant knows that never errs.
func (w *Town) Current() (epoch.Ledger, bool) {
	row := w.Row()
	return epoch.Ledger{Epoch: row.Number, Mode: epoch.Mode(row.Mode), NS: row.NS}, row.State == "open"
}

// Suspect does nothing: Current is never wrong.
func (w *Town) Suspect() {}

// Ledger is the open epoch's.
func (w *Town) Ledger() epoch.Ledger {
	l, _ := w.Current()
	return l
}

// End begins to end the epoch.
func (w *Town) End(ctx context.Context, reason string) error {
	return w.Store.End(ctx, w.Row().Number, reason)
}

// OpenRedis opens the next epoch in Redis. Whatever the last one left unfinished is not waited for.
func (w *Town) OpenRedis() {
	w.t.Helper()
	ctx := w.t.Context()
	if err := w.End(ctx, "test"); err != nil {
		w.t.Fatal(err)
	}
	_, err := w.Store.OpenRedis(ctx, w.Row(), func(ctx context.Context, number int64, ballots []epoch.Loadable) (pgledger.Epoch, error) {
		row := pgledger.Epoch{Number: number, Mode: string(epoch.Redis), State: "open", NS: redisledger.NewNS()}
		w.t.Cleanup(func() { _ = w.Redis.Unlink(context.WithoutCancel(ctx), row.NS) })
		for _, b := range ballots {
			if err := w.Redis.Load(ctx, redisledger.Fence{Epoch: number, NS: row.NS}, b, false); err != nil {
				return row, err
			}
		}
		return row, nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// OpenPostgres opens the next epoch in Postgres.
func (w *Town) OpenPostgres() {
	w.t.Helper()
	if err := w.End(w.t.Context(), "test"); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.Store.OpenPostgres(w.t.Context(), w.Row(), "test"); err != nil {
		w.t.Fatal(err)
	}
}

// Exec changes Postgres by hand.
func (w *Town) Exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.Pool.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatal(err)
	}
}

// Topic is a log with one partition.
type Topic struct {
	id uuid.UUID

	mu      sync.Mutex
	records []*Batch
	away    bool
	asked   func()
}

// Away makes the brokers go away, or come back.
func (l *Topic) Away(away bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = away
}

// OnAsked sets what happens after somebody has read where the log ends.
func (l *Topic) OnAsked(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = f
}

// EndOffsets implements what this service needs of a log.
func (l *Topic) EndOffsets(context.Context) (uuid.UUID, map[int32]int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return uuid.Nil, nil, errors.New("no broker answers")
	}
	if l.asked != nil {
		defer l.asked()
	}
	return l.id, map[int32]int64{0: int64(len(l.records))}, nil
}
