package httpapi

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/littlevote/littlevote/gateway/internal/engine"
)

// subscribe answers a subscription as an event stream, in the "distinct connections" mode of graphql-sse.
func (h *Handler) subscribe(
	ctx context.Context, w http.ResponseWriter, r *http.Request, as format, operation engine.Operation, memory *scratch,
) (string, int) {
	if !wantsEvents(r.Header["Accept"]) {
		return kindSubscription, h.refuse(w, as, memory, noStream())
	}
	if !h.open.enter() {
		return kindSubscription, h.refuse(w, as, memory, overloaded())
	}
	defer h.open.leave()
	// It has a bound of its own, and must not take the place of requests.
	h.running.Add(-1)
	defer h.running.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.open.draining, cancel)()
	narrow(r)
	h.send(ctx, cancel, h.begin(w), operation, r)
	return kindSubscription, http.StatusOK
}

// send writes the events of a subscription until it ends, or its reader or the gateway is gone.
func (h *Handler) send(ctx context.Context, cancel func(), e *events, operation engine.Operation, r *http.Request) {
	begin := &beginning{h: h, field: operation.Field(), asked: time.Now()}
	defer begin.over(ctx)
	stream, errs := h.engine.Subscribe(ctx, operation, r.Header)
	if errs != nil {
		begin.answered(ctx, errs)
		e.next(&graphql.Response{Errors: errs})
		e.complete()
		return
	}
	var wait sync.WaitGroup
	wait.Go(func() { h.stayAlive(ctx, cancel, e, r) })
	defer wait.Wait()
	defer cancel()
	for response := stream.Next(); response != nil; response = stream.Next() {
		begin.answered(ctx, response.Errors)
		if !e.next(response) {
			return
		}
	}
	if ctx.Err() != nil {
		return
	}
	if errs := stream.Err(); errs != nil {
		begin.answered(ctx, errs)
		e.next(&graphql.Response{Errors: errs})
	}
	e.complete()
}

// stayAlive sends comments until ctx ends, and ends the stream if the client does not take them, or its token is no longer
// good: it will come again, and be told so.
func (h *Handler) stayAlive(ctx context.Context, end func(), e *events, r *http.Request) {
	defer end()
	ticker, look := time.NewTicker(keepAlive), time.NewTicker(h.cfg.Streams.LookEvery)
	defer ticker.Stop()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if !e.send(":\n\n") {
				return
			}
		case <-look.C:
			if !h.believed(ctx, r) {
				return
			}
		}
	}
}
