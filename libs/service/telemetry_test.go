package service

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	"github.com/littlevote/littlevote/proto/gen/littlevote/query/v1/queryv1connect"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

const getTallies = "littlevote.query.v1.QueryService/GetTallies"

// watched is a server and a client of a process that is looked into.
type watched struct {
	spans  *tracetest.SpanRecorder
	tracer trace.Tracer
	reader *sdkmetric.ManualReader
	client queryv1.QueryServiceClient
}

func watch(t *testing.T, ratio float64, read func(context.Context) error) *watched {
	t.Helper()
	w := &watched{spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader()}
	w.tracer = sdk.NewTracerProvider(sdk.WithSpanProcessor(w.spans), sdk.WithSampler(newSampler(ratio))).Tracer("test")
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(w.reader)).Meter("test")
	log := slog.New(slog.DiscardHandler)
	path, handler := queryv1connect.NewQueryServiceHandler(fake{
		read: func(ctx context.Context, _ *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
			return &queryv1.GetTalliesResponse{}, read(ctx)
		},
	}, HandlerOptions(Host{Log: log, Meter: meter, Tracer: w.tracer})...)
	server, err := NewRPC("127.0.0.1:0", nil, NewHealth(), Mount{Name: queryv1connect.QueryServiceName, Path: path, Handler: handler})
	if err != nil {
		t.Fatal(err)
	}
	run(t, server.Server)
	conn, err := Dial(server.Addr(), nil, MeasureCalls(meter, log))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	w.client = queryv1.NewQueryServiceClient(conn)
	return w
}

// of returns the spans of a kind that have ended.
func (w *watched) of(kind trace.SpanKind) []sdk.ReadOnlySpan {
	return slices.DeleteFunc(w.spans.Ended(), func(s sdk.ReadOnlySpan) bool { return s.SpanKind() != kind })
}

// calls counts the calls of a side by code.
func (w *watched) calls(t *testing.T, name string) map[string]uint64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := w.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	counts := map[string]uint64{}
	for _, m := range all.ScopeMetrics[0].Metrics {
		if m.Name != name {
			continue
		}
		for _, point := range m.Data.(metricdata.Histogram[float64]).DataPoints {
			code, _ := point.Attributes.Value("rpc.response.status_code")
			method, _ := point.Attributes.Value("rpc.method")
			if point.Attributes.Len() != 2 || method.AsString() != getTallies {
				t.Errorf("labels %v", point.Attributes.ToSlice())
			}
			counts[code.AsString()] += point.Count
		}
	}
	return counts
}

// A call of a traced caller is seen on both sides, with its code; both sides count it.
func TestCallsAreSeenOnBothSides(t *testing.T) {
	const secret = "somebody"
	answers := []error{
		nil, Error(connect.CodeNotFound, &statusv1.ErrorDetail{}, secret), Error(connect.CodeUnavailable, &statusv1.ErrorDetail{}, secret),
	}
	var inside trace.SpanContext
	next := 0
	w := watch(t, 0, func(ctx context.Context) error {
		inside = trace.SpanContextFromContext(ctx)
		next++
		return answers[next-1]
	})
	ctx, root := sdk.NewTracerProvider(sdk.WithSpanProcessor(w.spans)).Tracer("test").Start(t.Context(), "request")
	wants := []struct {
		code           string
		server, client codes.Code
	}{{"OK", codes.Unset, codes.Unset}, {"NOT_FOUND", codes.Unset, codes.Error}, {"UNAVAILABLE", codes.Error, codes.Error}}
	for i, want := range wants {
		_, _ = w.client.GetTallies(ctx, &queryv1.GetTalliesRequest{})
		client, server := w.of(trace.SpanKindClient)[i], w.of(trace.SpanKindServer)[i]
		if client.Parent().SpanID() != root.SpanContext().SpanID() || server.Parent().SpanID() != client.SpanContext().SpanID() ||
			inside.SpanID() != server.SpanContext().SpanID() || server.SpanContext().TraceID() != root.SpanContext().TraceID() {
			t.Errorf("%s: client below %v, server below %v", want.code, client.Parent(), server.Parent())
		}
		if client.Name() != getTallies || server.Name() != getTallies {
			t.Errorf("names %q and %q", client.Name(), server.Name())
		}
		if client.Status().Code != want.client || server.Status().Code != want.server {
			t.Errorf("%s: client %v, server %v", want.code, client.Status(), server.Status())
		}
		for _, span := range []sdk.ReadOnlySpan{client, server} {
			if !slices.Contains(span.Attributes(), attribute.String("rpc.response.status_code", want.code)) {
				t.Errorf("%v, want code %s", span.Attributes(), want.code)
			}
			for _, a := range append(span.Attributes(), attribute.String("status", span.Status().Description)) {
				if strings.Contains(a.Value.String(), secret) || strings.Contains(a.Value.String(), "127.0.0.1") {
					t.Errorf("a span tells %s=%s", a.Key, a.Value.String())
				}
			}
		}
	}
	for _, side := range []string{"rpc.server.call.duration", "rpc.client.call.duration"} {
		counts := w.calls(t, side)
		if len(counts) != 3 || counts["OK"] != 1 || counts["NOT_FOUND"] != 1 || counts["UNAVAILABLE"] != 1 {
			t.Errorf("%s: %v", side, counts)
		}
	}
}

// The first one decides: whoever is not traced is told to the other side, which would trace everything.
func TestACallOfACallerThatIsNotTracedIsNotTraced(t *testing.T) {
	w := watch(t, 1, func(context.Context) error { return nil })
	never := sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample())).Tracer("test")
	ctx, _ := never.Start(t.Context(), "request")
	if _, err := w.client.GetTallies(ctx, &queryv1.GetTalliesRequest{}); err != nil {
		t.Fatal(err)
	}
	if n := len(w.spans.Ended()); n != 0 {
		t.Errorf("%d spans", n)
	}
	if _, err := w.client.GetTallies(t.Context(), &queryv1.GetTalliesRequest{}); err != nil {
		t.Fatal(err)
	}
	if n := len(w.of(trace.SpanKindServer)); n != 1 {
		t.Errorf("%d spans of a call that nobody has decided on, want 1", n)
	}
}

// A process without traces does nothing for a call but measure it.
func TestCallsCostNothingWithoutTraces(t *testing.T) {
	w := watcher{tracer: noop.Tracer{}, calls: newDuration(metricnoop.Meter{}, "test", "", slog.New(slog.DiscardHandler))}
	spec := connect.Spec{Procedure: "/" + getTallies}
	header := http.Header{"Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}
	if allocs := testing.AllocsPerRun(1000, func() {
		ctx, span := w.start(context.Background(), spec, header)
		w.end(ctx, span, spec, nil, time.Time{})
	}); allocs != 0 {
		t.Errorf("%v allocations a call", allocs)
	}
}
