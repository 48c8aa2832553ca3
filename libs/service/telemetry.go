package service

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/measure"
	"github.com/littlevote/littlevote/libs/tracing"
)

// What the libraries for this would write down too is left out: the texts of errors and the addresses of callers have no place in
// a collector, and a call that nobody traces costs a look at the clock and at a map.

// duration is a histogram of calls by procedure and code: their rate, their errors, and how long they take.
type duration struct {
	seconds metric.Float64Histogram
	sets    sync.Map // outcome to []metric.RecordOption: as many as there are procedures and codes
}

type outcomeOf struct {
	procedure string // without the first slash
	code      connect.Code
}

// codeOK stands for success, which connect has no code for.
const codeOK connect.Code = 0

// newDuration makes the histogram. A failure is only logged: what is not measured still works.
func newDuration(meter metric.Meter, name, text string, log *slog.Logger) *duration {
	if meter == nil {
		return &duration{}
	}
	seconds, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(text), measure.Seconds())
	if err != nil {
		log.ErrorContext(context.Background(), "a metric cannot be made", "metric", name, "error", err)
		return &duration{}
	}
	return &duration{seconds: seconds}
}

func (d *duration) record(ctx context.Context, procedure string, code connect.Code, begin time.Time) {
	if d.seconds == nil {
		return
	}
	key := outcomeOf{procedure, code}
	set, ok := d.sets.Load(key)
	if !ok {
		set, _ = d.sets.LoadOrStore(key, []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(
			attribute.String("rpc.method", procedure),
			attribute.String("rpc.response.status_code", codeName(code)),
		))})
	}
	d.seconds.Record(ctx, time.Since(begin).Seconds(), set.([]metric.RecordOption)...)
}

// codeName is the code in gRPC's words.
func codeName(code connect.Code) string {
	if code == codeOK {
		return "OK"
	}
	return strings.ToUpper(code.String())
}

// watcher sees every call of a handler: its span, and its time by code. It stands in front of all that may refuse the call.
type watcher struct {
	tracer trace.Tracer
	calls  *duration
}

func newWatcher(host Host) watcher {
	return watcher{tracer: host.Tracer, calls: newDuration(host.Meter, "rpc.server.call.duration",
		"Duration of the calls that this process answers, by procedure and code.", host.Log)}
}

// WrapUnary is part of connect.Interceptor.
func (w watcher) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		begin := time.Now()
		ctx, span := w.start(ctx, req.Spec(), req.Header())
		answer, err := next(ctx, req)
		w.end(ctx, span, req.Spec(), err, begin)
		return answer, err
	}
}

// WrapStreamingClient is part of connect.Interceptor.
func (watcher) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler is part of connect.Interceptor.
func (w watcher) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		begin := time.Now()
		ctx, span := w.start(ctx, conn.Spec(), conn.RequestHeader())
		err := next(ctx, conn)
		w.end(ctx, span, conn.Spec(), err, begin)
		return err
	}
}

func (w watcher) start(ctx context.Context, spec connect.Spec, header map[string][]string) (context.Context, trace.Span) {
	if tracing.Off(w.tracer) {
		return ctx, trace.SpanFromContext(ctx)
	}
	ctx = tracing.Extract(ctx, propagation.HeaderCarrier(header))
	return w.tracer.Start(ctx, procedureOf(spec.Procedure), trace.WithSpanKind(trace.SpanKindServer))
}

func (w watcher) end(ctx context.Context, span trace.Span, spec connect.Spec, err error, begin time.Time) {
	code := codeOK
	if err != nil {
		code = connect.CodeOf(err)
	}
	procedure := procedureOf(spec.Procedure)
	w.calls.record(ctx, procedure, code, begin)
	if tracing.Off(w.tracer) {
		return
	}
	endCall(span, procedure, code, faultOfServer(code))
}

// endCall ends the span of a call, on either side.
func endCall(span trace.Span, procedure string, code connect.Code, failed bool) {
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("rpc.system.name", "grpc"),
			attribute.String("rpc.method", procedure),
			attribute.String("rpc.response.status_code", codeName(code)),
		)
		if failed {
			tracing.Fail(span)
		}
	}
	span.End()
}

// faultOfServer says that a code speaks of a failure here, and not of a call that was refused for good reason.
func faultOfServer(code connect.Code) bool {
	switch code {
	case connect.CodeUnknown, connect.CodeDeadlineExceeded, connect.CodeUnimplemented, connect.CodeInternal,
		connect.CodeUnavailable, connect.CodeDataLoss:
		return true
	default:
		return false
	}
}

// procedureOf is the name of a method as "littlevote.vote.v1.VoteService/CastVotes".
func procedureOf(path string) string { return strings.TrimPrefix(path, "/") }
