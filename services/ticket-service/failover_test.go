package ticketservice

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/testenv"
	ticketv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ticket/v1"
	"github.com/littlevote/littlevote/proto/gen/littlevote/ticket/v1/ticketv1connect"
)

// childConfig makes this test binary a replica: it holds the settings as JSON.
const childConfig = "TICKET_SERVICE_TEST_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childConfig); text != "" {
		if err := runChild(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func runChild(text string) error {
	var cfg Config
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		return err
	}
	ctx := context.Background()
	s, err := New(ctx, cfg, service.Host{Tracer: tracenoop.Tracer{}, Log: discard(), Health: service.NewHealth(), Meter: noop.Meter{}})
	if err != nil {
		return err
	}
	fmt.Println(s.Addr())
	return s.Run(ctx)
}

// child is a replica in a process of its own.
type child struct {
	process *os.Process
	client  ticketv1connect.TicketServiceClient
}

func (w *town) startChild(cfg Config) *child {
	w.t.Helper()
	text, err := json.Marshal(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childConfig+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		w.t.Fatal(err)
	}
	client := ticketv1connect.NewTicketServiceClient(http.DefaultClient, "http://"+strings.TrimSpace(address))
	return &child{process: cmd.Process, client: client}
}

func (w *town) holder() string {
	w.t.Helper()
	token, _ := w.rdb.Get(w.t.Context(), w.cfg.Ticket.LockKey).Result()
	return token
}

// The holder of the lock is killed, or frozen, as processes are, with the lock in Redis and by election; measured is how long until the other holds the lock, and
// what the other's callers see.
func TestS17S55ProducerFailover(t *testing.T) {
	for name, c := range map[string]struct {
		signal syscall.Signal
		lock   string
	}{
		"kill -9": {syscall.SIGKILL, lockRedis}, "SIGSTOP": {syscall.SIGSTOP, lockRedis}, "kill -9 of the elected": {syscall.SIGKILL, lockRing},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t)
			cfg, signal := w.cfg, c.signal
			cfg.Ticket.Lock = c.lock
			cfg.Ticket.Interval, cfg.Ticket.LockTTL = 3*time.Second, 2*time.Second
			first := w.startChild(cfg)
			testenv.Eventually(t, 15*time.Second, func() error {
				if w.holder() == "" {
					return fmt.Errorf("nobody holds the lock")
				}
				return nil
			})
			second := w.startChild(cfg)
			testenv.Eventually(t, 15*time.Second, func() error {
				_, err := second.client.GetTicket(t.Context(), &ticketv1.GetTicketRequest{})
				return err
			})
			token := w.holder()
			if err := first.process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			died := time.Now()
			tookOver, gap := second.watch(t, w, token, died.Add(8*time.Second), died)
			t.Logf("lock of %v, window of %v: taken over after %v, longest time without a ticket %v",
				cfg.Ticket.LockTTL, cfg.Ticket.Interval, tookOver, gap)
			if limit := cfg.Ticket.LockTTL + cfg.Ticket.LockTTL/10 + time.Second; tookOver > limit {
				t.Errorf("taken over after %v", tookOver)
			}
			if gap > cfg.Ticket.LockTTL {
				t.Errorf("%v without a ticket", gap)
			}
			if signal == syscall.SIGSTOP {
				w.wake(first, second)
			}
		})
	}
}

// watch asks for tickets all the time until end. It returns when another held the lock and the longest time in which no
// ticket was handed out.
func (c *child) watch(t *testing.T, w *town, token string, end, died time.Time) (tookOver, gap time.Duration) {
	t.Helper()
	good := time.Now()
	for time.Now().Before(end) {
		if _, err := c.client.GetTicket(t.Context(), &ticketv1.GetTicketRequest{}); err == nil {
			good = time.Now()
		}
		gap = max(gap, time.Since(good))
		if now := w.holder(); tookOver == 0 && now != "" && now != token {
			tookOver = time.Since(died)
		}
	}
	if tookOver == 0 {
		t.Fatal("nobody took over")
	}
	return tookOver, gap
}

// wake lets a frozen holder go on: it must neither hold the lock nor disturb the tickets, and still answer.
func (w *town) wake(first, second *child) {
	w.t.Helper()
	token := w.holder()
	if err := first.process.Signal(syscall.SIGCONT); err != nil {
		w.t.Fatal(err)
	}
	testenv.Eventually(w.t, 10*time.Second, func() error {
		_, err := first.client.GetTicket(w.t.Context(), &ticketv1.GetTicketRequest{})
		return err
	})
	for range 200 {
		if _, err := second.client.GetTicket(w.t.Context(), &ticketv1.GetTicketRequest{}); err != nil {
			w.t.Fatal(err)
		}
	}
	if w.holder() != token {
		w.t.Error("the frozen holder has the lock again")
	}
}
