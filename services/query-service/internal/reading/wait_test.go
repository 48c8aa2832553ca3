package reading

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

// counter counts statements.
type counter struct{ atomic.Int64 }

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.Add(1)
	return ctx
}

func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// However many wait for Postgres, it is asked by one at a time, and not too often; and all learn of what the one is told.
func TestTheWatermarkIsAskedForOnceForAll(t *testing.T) {
	const readers, long = 200, 400 * time.Millisecond
	url := testenv.Postgres(t)
	if err := pgledger.Migrate(t.Context(), url, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	var asked counter
	cfg.ConnConfig.Tracer = &asked
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	persisted := func() {
		t.Helper()
		if _, err := pool.Exec(t.Context(), `
			INSERT INTO offsets (topic_id, partition, next, caught_up_at) VALUES ('00000000-0000-0000-0000-000000000001', 0, 0, now())
			ON CONFLICT (topic_id, partition) DO UPDATE SET caught_up_at = now()`); err != nil {
			t.Fatal(err)
		}
	}
	persisted()
	stores := Stores{Primary: pool, Timeout: 10 * time.Second}
	var w watermark
	var all sync.WaitGroup
	asked.Store(0)
	moment := time.Now()
	for range readers {
		all.Go(func() {
			for time.Since(moment) < long {
				if w.reached(t.Context(), stores, moment) {
					t.Error("what the persister did not do is done")
					return
				}
				pause(t.Context(), time.Millisecond)
			}
		})
	}
	all.Wait()
	took := time.Since(moment)
	if n := asked.Load(); n < 1 || n > int64(took/shortestWait)+1 {
		t.Errorf("%d statements in %v", n, took)
	}
	persisted()
	testenv.Eventually(t, 10*time.Second, func() error {
		if !w.reached(t.Context(), stores, moment) {
			return context.DeadlineExceeded
		}
		return nil
	})
	asked.Store(0)
	for range readers {
		if !w.reached(t.Context(), stores, moment) {
			t.Error("what is known is not told")
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d statements for what is known", n)
	}
}
