package ticketservice

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/testenv"
	ticketv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ticket/v1"
	"github.com/littlevote/littlevote/proto/gen/littlevote/ticket/v1/ticketv1connect"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// town is the stores that the replicas of a test share, with somebody who opens epochs.
type town struct {
	t    *testing.T
	cfg  Config
	pool *pgxpool.Pool
	rdb  redis.UniversalClient
	kick chan struct{}
}

// emptyLog is a topic without records.
type emptyLog struct{}

func (emptyLog) EndOffsets(context.Context) (uuid.UUID, map[int32]int64, error) {
	return uuid.UUID{}, nil, nil
}

func newTown(t *testing.T) *town {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Ticket.Listen, cfg.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Ticket.LockKey = testenv.Namespace(t)
	cfg.Ticket.KeyFile = filepath.Join(t.TempDir(), "keys")
	cfg.Redis.URL, cfg.Postgres.URL = testenv.Redis(t), testenv.Postgres(t)
	cfg.Redis.PoolSize, cfg.Postgres.PoolSize = 20, 5
	cfg.Participant.Heartbeat = 200 * time.Millisecond
	key := hex.EncodeToString(bytes.Repeat([]byte("k"), 32))
	if err := os.WriteFile(cfg.Ticket.KeyFile, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := pgledger.Migrate(t.Context(), cfg.Postgres.URL, discard()); err != nil {
		t.Fatal(err)
	}
	w := &town{t: t, cfg: cfg, kick: make(chan struct{}, 1)}
	var err error
	if w.pool, err = pgledger.Open(t.Context(), config.Postgres{URL: cfg.Postgres.URL, PoolSize: 5}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.pool.Close)
	if w.rdb, err = redisledger.Open(cfg.Redis.URL, 10, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.rdb.Close() })
	w.runChanger()
	return w
}

func (w *town) runChanger() {
	changer := epoch.NewChanger(w.pool, redisledger.New(w.rdb), emptyLog{}, false, func() {}, discard())
	ctx, cancel := context.WithCancel(w.t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		if err := changer.Run(ctx, 100*time.Millisecond, w.kick); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(func() {
		cancel()
		done.Wait()
	})
}

// replica is a running service and a client of it.
type replica struct {
	*Service
	health *service.Health
	client ticketv1connect.TicketServiceClient
	stop   func()
}

func (w *town) start(cfg Config) *replica {
	w.t.Helper()
	r := &replica{health: service.NewHealth()}
	var err error
	r.Service, err = New(w.t.Context(), cfg, service.Host{Log: discard(), Health: r.health, Meter: noop.Meter{}})
	if err != nil {
		w.t.Fatal(err)
	}
	r.client = ticketv1connect.NewTicketServiceClient(http.DefaultClient, "http://"+r.Addr())
	ctx, cancel := context.WithCancel(w.t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		if err := r.Run(ctx); err != nil {
			w.t.Error(err)
		}
	})
	r.stop = func() {
		cancel()
		done.Wait()
	}
	w.t.Cleanup(r.stop)
	return r
}

// ticket waits for a ticket of a ballot.
func (r *replica) ticket(t *testing.T, ballot string) *ticketv1.Ticket {
	t.Helper()
	var found *ticketv1.Ticket
	testenv.Eventually(t, 15*time.Second, func() error {
		response, err := r.client.GetTicket(t.Context(), &ticketv1.GetTicketRequest{Ballot: ballot})
		found = response.GetTicket()
		if err == nil && found == nil {
			err = errors.New("no ticket and no error")
		}
		return err
	})
	return found
}
