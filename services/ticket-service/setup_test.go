package ticketservice

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/embedded"
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

	changer *epoch.Changer
}

// emptyLog is a topic without records.
type emptyLog struct{}

func (emptyLog) EndOffsets(context.Context) (uuid.UUID, map[int32]int64, error) {
	return uuid.UUID{}, nil, nil
}

func newTown(t *testing.T) *town {
	t.Helper()
	return newTownOn(t, testenv.Redis(t))
}

// newShutTown has a Redis that can be shut. It is an embedded one of the test's own: no door can stand before a Redis
// Cluster or before what Sentinels name, since those tell their clients where to go.
func newShutTown(t *testing.T) (*town, *door) {
	t.Helper()
	server, err := embedded.Redis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	d := newDoor(t, server.URL())
	return newTownOn(t, d.url), d
}

func newTownOn(t *testing.T, redisURL string) *town {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Ticket.Listen, cfg.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Ticket.LockKey = testenv.Namespace(t)
	cfg.Ticket.KeyFile = filepath.Join(t.TempDir(), "keys")
	cfg.Redis.URL, cfg.Postgres.URL = redisURL, testenv.Postgres(t)
	cfg.Redis.PoolSize, cfg.Postgres.PoolSize = 20, 5
	cfg.Participant.Heartbeat = 200 * time.Millisecond
	key := hex.EncodeToString(bytes.Repeat([]byte("k"), 32))
	if err := os.WriteFile(cfg.Ticket.KeyFile, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := pgledger.Migrate(t.Context(), cfg.Postgres.URL, discard()); err != nil {
		t.Fatal(err)
	}
	w := &town{t: t, cfg: cfg}
	var err error
	if w.pool, err = pgledger.Open(t.Context(), config.Postgres{URL: cfg.Postgres.URL, PoolSize: 5}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.pool.Close)
	if w.rdb, err = redisledger.Open(redisURL, 10, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.rdb.Close() })
	w.runChanger()
	return w
}

// Ping implements epoch.Pinger.
func (w *town) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	return w.rdb.Ping(ctx).Err()
}

// runChanger does a vote-service's part of a change of epoch.
func (w *town) runChanger() {
	store := epoch.NewStore(w.pool)
	me := epoch.NewParticipant(store, w, epoch.Config{
		ID: epoch.NewID(), Service: "test", Lease: 10 * time.Second, Heartbeat: 100 * time.Millisecond,
	}, discard())
	w.changer = epoch.NewChanger(epoch.ChangerConfig{
		Store: store, Redis: redisledger.New(w.rdb), Topic: emptyLog{}, Me: me, Log: discard(),
	})
	ctx, cancel := context.WithCancel(w.t.Context())
	var done sync.WaitGroup
	for _, run := range []func(context.Context) error{
		me.Run, func(ctx context.Context) error { return w.changer.Run(ctx, 100*time.Millisecond) },
	} {
		done.Go(func() {
			if err := run(ctx); err != nil {
				w.t.Error(err)
			}
		})
	}
	w.t.Cleanup(func() {
		cancel()
		done.Wait()
	})
}

// number returns the open epoch's number once it is one of that mode.
func (w *town) number(mode epoch.Mode) int64 {
	w.t.Helper()
	var row pgledger.Epoch
	testenv.Eventually(w.t, 20*time.Second, func() error {
		var err error
		row, err = pgledger.CurrentEpoch(w.t.Context(), w.pool)
		if err == nil && (row.Mode != string(mode) || row.State != "open") {
			err = fmt.Errorf("the epoch is %s, %s", row.Mode, row.State)
		}
		return err
	})
	return row.Number
}

// door stands before Redis. It can be shut, and then nobody gets an answer, over old connections or new ones.
type door struct {
	url    string
	target string

	mu    sync.Mutex
	shut  chan struct{} // closed while the door is open
	conns map[net.Conn]bool
}

func newDoor(t *testing.T, target string) *door {
	t.Helper()
	parsed, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{target: parsed.Host, shut: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(d.shut)
	parsed.Host = listener.Addr().String()
	d.url = parsed.String()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			d.mu.Lock()
			d.conns[conn] = true
			d.mu.Unlock()
			go d.forward(conn)
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		d.open()
		d.mu.Lock()
		defer d.mu.Unlock()
		for conn := range d.conns {
			_ = conn.Close()
		}
	})
	return d
}

func (d *door) forward(conn net.Conn) {
	defer conn.Close()
	back, err := net.Dial("tcp", d.target)
	if err != nil {
		return
	}
	defer back.Close()
	go func() {
		_, _ = io.Copy(back, conn)
		_ = back.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := back.Read(buf)
		if err != nil {
			return
		}
		d.mu.Lock()
		shut := d.shut
		d.mu.Unlock()
		<-shut
		if _, err := conn.Write(buf[:n]); err != nil {
			return
		}
	}
}

// close lets no answer out any more.
func (d *door) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = make(chan struct{})
}

func (d *door) open() {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.shut:
	default:
		close(d.shut)
	}
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
	r.Service, err = New(w.t.Context(), cfg, service.Host{Tracer: tracenoop.Tracer{}, Log: discard(), Health: r.health, Meter: noop.Meter{}})
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
