package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/libs/tracing"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// watch reads one ballot for all who subscribe to it.
type watch struct {
	hub    *Hub
	cfg    Config
	ballot Ballot
	stop   context.CancelFunc

	mu     sync.Mutex
	board  board
	rights rights
	subs   map[*subscriber]struct{}
	good   time.Time // when a read succeeded last

	sampled []*subscriber // those in traces that wait for their first answer
}

func newWatch(hub *Hub, ballot Ballot, stop context.CancelFunc) *watch {
	return &watch{
		hub: hub, cfg: hub.cfg, ballot: ballot, stop: stop, board: board{ballot: ballot},
		rights: rights{viewers: make(map[Viewer]*right)}, subs: make(map[*subscriber]struct{}),
	}
}

func (w *watch) add(viewer Viewer, span trace.Span) *subscriber {
	s := &subscriber{watch: w, viewer: viewer, span: span, joined: time.Now(), news: make(chan struct{}, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subs[s] = struct{}{}
	if span.IsRecording() {
		w.sampled = append(w.sampled, s)
	}
	w.rights.add(viewer)
	return s
}

func (w *watch) remove(s *subscriber) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.subs, s)
	w.rights.remove(s.viewer)
}

func (w *watch) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.subs)
}

// newest returns what the subscriber has not got yet: nil for nothing, or the error it ends with.
func (w *watch) newest(s *subscriber) (*model.TallyUpdate, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.ended != nil {
		return nil, s.ended
	}
	if !s.begun || s.last >= w.board.differ && s.last > 0 {
		return nil, nil //nolint:nilnil // nothing is an answer
	}
	return w.board.update(s.last), nil
}

func (w *watch) sent(s *subscriber, number int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.last = number
}

// end ends everybody.
func (w *watch) end(why error) { w.endThose(why, func(*subscriber) bool { return true }) }

func (w *watch) endThose(why error, which func(*subscriber) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.subs {
		if s.ended == nil && which(s) {
			s.ended = why
			s.wake()
		}
	}
}

// run reads until nobody watches any more, or ctx ends.
func (w *watch) run(ctx context.Context) {
	defer w.stop()
	for {
		again := w.read(ctx)
		if !again {
			pause(ctx, w.cfg.Interval)
		}
		if w.hub.idle(w) {
			return
		}
	}
}

// read reads once. It reports whether the next read shall follow at once, because this one has only told who may see.
func (w *watch) read(ctx context.Context) (again bool) {
	select {
	case w.hub.slots <- struct{}{}:
		defer func() { <-w.hub.slots }()
	case <-ctx.Done():
		return false
	}
	began := time.Now()
	question, waiting := w.ask(began)
	call, cancel := context.WithTimeout(ctx, w.cfg.Timeout)
	defer cancel()
	call, span := tracing.Batch(call, "GetTallies live", "subscriptions", waiting, func(s *subscriber) trace.Span { return s.span })
	response, err := w.hub.client.GetTallies(call, question.request(w.ballot.Full))
	tracing.End(span, err)
	if err == nil && len(response.GetTallies()) != question.reads() {
		err = errors.New("live: wrong number of tallies")
	}
	if ctx.Err() != nil {
		return false
	}
	for _, tally := range response.GetTallies() {
		if tally.GetCode() == statusv1.Code_CODE_UNAVAILABLE {
			err = errors.New("live: a tally is not available")
		}
	}
	if err != nil {
		w.failed(err)
		return false
	}
	return w.answered(began, question, response.GetTallies())
}

// ask returns what to read, and which of those are sampled in traces who wait for their first answer.
func (w *watch) ask(now time.Time) (question, []*subscriber) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sampled = slices.DeleteFunc(w.sampled, func(s *subscriber) bool { return !s.span.IsRecording() })
	return w.rights.question(now), slices.Clone(w.sampled)
}

// answered brings a reading to those who came before it began, and may see it.
func (w *watch) answered(began time.Time, asked question, tallies []*queryv1.Tally) (again bool) {
	w.mu.Lock()
	w.good = began
	for i, viewer := range asked.about {
		w.rights.learn(viewer, tallies[i].GetCode() == statusv1.Code_CODE_OK, began)
	}
	code := statusv1.Code_CODE_RESULTS_HIDDEN
	if asked.counts {
		tally := tallies[len(tallies)-1]
		code = tally.GetCode()
		w.took(asked.as, tally, began)
	}
	hidden := w.rights.closed
	w.mu.Unlock()
	switch code {
	case statusv1.Code_CODE_OK, statusv1.Code_CODE_RESULTS_HIDDEN:
	default:
		w.end(&answer.Refusal{Code: code, Text: answer.ForCode(code)})
		return false
	}
	if !hidden {
		return false
	}
	refused := &answer.Refusal{Code: statusv1.Code_CODE_RESULTS_HIDDEN, Text: answer.ResultsHidden}
	w.endThose(refused, func(s *subscriber) bool { return w.rights.refused(s.viewer) })
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rights.unsettled(asked)
}

// took is told of the counts that were read as a viewer.
func (w *watch) took(as Viewer, tally *queryv1.Tally, began time.Time) {
	switch tally.GetCode() {
	case statusv1.Code_CODE_OK:
	case statusv1.Code_CODE_RESULTS_HIDDEN:
		w.rights.lose(as, began)
		return
	default:
		return
	}
	changed, newcomer := w.board.take(tally), false
	for s := range w.subs {
		if !s.begun && !s.joined.After(began) && w.rights.may(s.viewer) {
			s.begun, newcomer = true, true
			s.wake()
		}
	}
	if newcomer && !changed {
		w.board.renumber()
	}
	if changed {
		w.tell()
	}
}

// failed marks the counts as stale, and ends those who have waited for longer than is good.
func (w *watch) failed(cause error) {
	now := time.Now()
	w.mu.Lock()
	if w.board.outdate() {
		w.tell()
	}
	good := w.good
	w.mu.Unlock()
	w.endThose(away(fmt.Errorf("live: %w", cause)), func(s *subscriber) bool {
		return now.Sub(s.joined) > w.cfg.Patience && now.Sub(good) > w.cfg.Patience
	})
}

// tell wakes everybody.
func (w *watch) tell() {
	for s := range w.subs {
		s.wake()
	}
}
