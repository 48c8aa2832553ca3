package spans

import (
	"context"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"

	"github.com/littlevote/littlevote/libs/tracing"
)

const (
	// Header names the trace of a request: a client may send its own, and finds in the answer the one it was given, if it is
	// sampled.
	Header = "Traceparent"
	// askedPerSecond is how many requests are traced because their clients ask for it.
	askedPerSecond = 100
)

// Door makes the spans of requests. It is safe for concurrent use.
type Door struct {
	tracer trace.Tracer
	asked  *rate.Limiter
}

// NewDoor returns a door; the tracer decides which requests are sampled.
func NewDoor(tracer trace.Tracer) *Door {
	return &Door{tracer: tracer, asked: rate.NewLimiter(askedPerSecond, askedPerSecond)}
}

// Watch returns a handler that makes a span of each request. Without traces it is the handler that it is given.
func (d *Door) Watch(next http.Handler) http.Handler {
	if tracing.Off(d.tracer) {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, span := d.tracer.Start(d.continued(r), "request", trace.WithSpanKind(trace.SpanKindServer))
		r = r.WithContext(ctx)
		if !span.IsRecording() {
			next.ServeHTTP(w, r)
			return
		}
		w.Header()[Header] = []string{tracing.Traceparent(ctx)}
		watched := &response{ResponseWriter: w, request: r, span: span}
		defer watched.end(http.StatusInternalServerError) // a panic, as net/http has it; no other comes so far without a status
		next.ServeHTTP(watched, r)
		watched.end(http.StatusOK)
	})
}

// continued returns the context of a request, with the span of its client if it tells one. Its tracestate is not taken: it may
// hold anything.
func (d *Door) continued(r *http.Request) context.Context {
	given := r.Header[Header]
	if len(given) != 1 {
		return r.Context()
	}
	client := tracing.ParseTraceparent(given[0])
	if !client.IsValid() {
		return r.Context()
	}
	if client.IsSampled() && !d.asked.Allow() {
		client = client.WithTraceFlags(client.TraceFlags().WithSampled(false))
	}
	return trace.ContextWithRemoteSpanContext(r.Context(), client)
}

// response finds out what a request came to.
type response struct {
	http.ResponseWriter
	request *http.Request
	span    trace.Span
	status  int
}

// Unwrap lets http.ResponseController and WebSockets find what they need.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader remembers the status. A WebSocket's request ends with it: what follows may last for hours.
func (w *response) WriteHeader(status int) {
	if w.status == 0 && (status >= http.StatusOK || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	if status == http.StatusSwitchingProtocols {
		w.end(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

// FlushError ends the request of an event stream with the first event; only streams are flushed.
func (w *response) FlushError() error {
	w.end(http.StatusOK)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// end ends the span, where it has not ended, with the status that was written, else with this one.
func (w *response) end(status int) {
	if !w.span.IsRecording() {
		return
	}
	if w.status != 0 {
		status = w.status
	}
	method, route := knownMethod(w.request.Method), routeOf(w.request.Pattern)
	w.span.SetName(strings.TrimRight(method+" "+route, " "))
	w.span.SetAttributes(
		attribute.String("http.request.method", method), attribute.String("http.route", route),
		attribute.Int("http.response.status_code", status),
	)
	if status >= http.StatusInternalServerError {
		w.span.SetStatus(codes.Error, "")
	}
	w.span.End()
}

// routeOf is the path of a pattern of http.ServeMux.
func routeOf(pattern string) string {
	if _, path, found := strings.Cut(pattern, " "); found {
		return path
	}
	return pattern
}

// knownMethod keeps a client's inventions out.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodConnect,
		http.MethodOptions, http.MethodTrace:
		return method
	default:
		return "_OTHER"
	}
}
