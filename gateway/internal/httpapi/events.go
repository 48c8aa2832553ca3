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
	h.send(ctx, cancel, h.begin(w), operation, r.Header)
	return kindSubscription, http.StatusOK
}

// send writes the events of a subscription until it ends, or its reader or the gateway is gone.
func (h *Handler) send(ctx context.Context, cancel func(), e *events, operation engine.Operation, header http.Header) {
	stream, errs := h.engine.Subscribe(ctx, operation, header)
	if errs != nil {
		e.next(&graphql.Response{Errors: errs})
		e.complete()
		return
	}
	var wait sync.WaitGroup
	wait.Go(func() { e.stayAlive(ctx, cancel) })
	defer wait.Wait()
	defer cancel()
	for response := stream.Next(); response != nil; response = stream.Next() {
		if !e.next(response) {
			return
		}
	}
	if ctx.Err() != nil {
		return
	}
	if errs := stream.Err(); errs != nil {
		e.next(&graphql.Response{Errors: errs})
	}
	e.complete()
}

// stayAlive sends comments until ctx ends, or the client does not take them.
func (e *events) stayAlive(ctx context.Context, gone func()) {
	ticker := time.NewTicker(keepAlive)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if !e.send(":\n\n") {
				gone()
				return
			}
		}
	}
}
