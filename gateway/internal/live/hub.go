package live

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// Config bounds a Hub.
type Config struct {
	Interval time.Duration // between two reads of a ballot, and at least between two updates to a subscriber
	Timeout  time.Duration // of one read
	Patience time.Duration // how long a subscriber is kept while nothing can be read
	Most     int           // subscriptions at once
}

// Ballot names what is watched.
type Ballot struct {
	Full string // as the services know it
	ID   string // as clients do
}

// Viewer is who watches; the zero value is somebody unknown.
type Viewer struct {
	Voter     string
	Organiser bool
}

// Hub holds all subscriptions of a gateway. It is safe for concurrent use.
type Hub struct {
	client queryv1.QueryServiceClient
	cfg    Config
	slots  chan struct{} // reads on their way

	mu      sync.Mutex
	watches map[string]*watch // by full name
	count   int               // of subscriptions
	closed  bool
	running sync.WaitGroup // watches and subscribers
}

// NewHub returns a hub that reads from the query-service; Close ends it.
func NewHub(client queryv1.QueryServiceClient, cfg Config) *Hub {
	return &Hub{client: client, cfg: cfg, slots: make(chan struct{}, atOnce), watches: make(map[string]*watch)}
}

var (
	errFull    = errors.New("live: too many subscriptions")
	errClosing = errors.New("live: the gateway stops")
)

const (
	// atOnce bounds the reads that are on their way, so that however many ballots are watched the connection has room for
	// everybody else's calls.
	atOnce    = 200
	fullRetry = time.Second
	awayRetry = time.Second
)

// Subscribe returns updates until ctx ends, or until they can't go on: then end is told why, with an answer.Refusal, before the
// channel is closed. An update that is offered and not yet taken gives way to a newer one.
func (h *Hub) Subscribe(ctx context.Context, ballot Ballot, viewer Viewer, end func(error)) (<-chan *model.TallyUpdate, error) {
	s, err := h.join(ballot, viewer, trace.SpanFromContext(ctx))
	if err != nil {
		return nil, err
	}
	out := make(chan *model.TallyUpdate)
	go func() {
		defer h.running.Done()
		defer close(out)
		err := s.run(ctx, out)
		h.leave(s)
		if err != nil {
			end(err)
		}
	}()
	return out, nil
}

func (h *Hub) join(ballot Ballot, viewer Viewer, span trace.Span) (*subscriber, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, away(errClosing)
	case h.count >= h.cfg.Most:
		return nil, &answer.Refusal{
			Code: statusv1.Code_CODE_OVERLOADED, Text: answer.Overloaded, Retryable: true, RetryAfter: fullRetry, Cause: errFull,
		}
	}
	w := h.watches[ballot.Full]
	if w == nil {
		ctx, stop := context.WithCancel(context.Background())
		w = newWatch(h, ballot, stop)
		h.watches[ballot.Full] = w
		h.running.Go(func() { w.run(ctx) })
	}
	h.count++
	h.running.Add(1)
	return w.add(viewer, span), nil
}

// leave forgets a subscriber.
func (h *Hub) leave(s *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count--
	s.watch.remove(s)
}

// idle forgets a watch that nobody needs any more. One stays for the rest of its interval: who comes and goes all the time
// causes no more reads than who stays.
func (h *Hub) idle(w *watch) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w.count() > 0 && !h.closed {
		return false
	}
	delete(h.watches, w.ballot.Full)
	return true
}

// Count is how many subscriptions there are.
func (h *Hub) Count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count
}

// Close ends all subscriptions, refuses new ones, and waits until everything has ended.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	for _, w := range h.watches {
		w.end(away(errClosing))
		w.stop()
	}
	h.mu.Unlock()
	h.running.Wait()
}

// away says that counts can't be read now.
func away(cause error) *answer.Refusal {
	return &answer.Refusal{
		Code: statusv1.Code_CODE_UNAVAILABLE, Text: answer.Unavailable, Retryable: true, RetryAfter: awayRetry, Cause: cause,
	}
}
