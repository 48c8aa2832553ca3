package reconcile

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/services/vote-service/internal/town"
)

// world is a town with a reconciler, whose rounds the test calls.
type world struct {
	*town.Town
	*Reconciler
	t    *testing.T
	log  *logbook
	ends []string // the reasons given for ending the epoch
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Town: town.New(t), t: t, log: &logbook{}}
	w.Reconciler = w.reconciler(time.Second)
	return w
}

func (w *world) reconciler(interval time.Duration) *Reconciler {
	w.t.Helper()
	r, err := New(Config{
		Pool: w.Pool, Redis: w.Redis, Topic: w.Topic, Progress: w.Store, Epochs: w.Town,
		End: func(ctx context.Context, reason string) error {
			w.ends = append(w.ends, reason)
			return w.End(ctx, reason)
		},
		Interval: interval, Meter: noop.Meter{}, Log: slog.New(slog.NewTextHandler(w.log, nil)),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) current() redisledger.Fence { return w.Ledger().Fence() }

// compare runs a round for which everything is due.
func (w *world) compare() (found bool, err error) {
	w.selfDue = time.Time{}
	return w.compareAll(w.t.Context())
}

// verifies runs a round that finds everything right.
func (w *world) verifies() {
	w.t.Helper()
	found, err := w.compare()
	if err != nil || found || len(w.ends) > 0 || w.Degraded() != "" {
		w.t.Fatalf("found %v, %v, ended for %q, %s\n%s", found, err, w.ends, w.Degraded(), w.log)
	}
}

// finds runs a round that finds something wrong.
func (w *world) finds() {
	w.t.Helper()
	if found, err := w.compare(); err != nil || !found {
		w.t.Fatalf("found %v, %v", found, err)
	}
}

// touch changes a count in Redis by hand.
func (w *world) touch(name string, by int64) {
	w.t.Helper()
	key := fmt.Sprintf("{%s}:%s:tally", town.Ballot, w.current().NS)
	if n, err := w.RDB.Exists(w.t.Context(), key).Result(); err != nil || n != 1 {
		w.t.Fatalf("there is no %s: %v", key, err)
	}
	if err := w.RDB.HIncrBy(w.t.Context(), key, name, by).Err(); err != nil {
		w.t.Fatal(err)
	}
}

// logbook keeps what was logged.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logbook) has(t *testing.T, parts ...string) {
	t.Helper()
	for line := range strings.Lines(l.String()) {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			return
		}
	}
	t.Errorf("no line with %q in:\n%s", parts, l)
}
