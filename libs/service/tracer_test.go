package service

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/tracing"
)

// collector is one that does with spans what the test says.
type collector struct {
	export func(context.Context) error
	spans  atomic.Int64
	ended  atomic.Bool
}

func (c *collector) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	c.spans.Add(int64(len(spans)))
	return c.export(ctx)
}

func (c *collector) Shutdown(context.Context) error {
	c.ended.Store(true)
	return nil
}

// A collector that hangs, or that refuses, holds up neither whoever ends a span nor the end of the process; what has no room is
// dropped; and the log says so once.
func TestABadCollectorHoldsNobodyUp(t *testing.T) {
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	for name, export := range map[string]func(context.Context) error{
		"hangs":   func(context.Context) error { <-hang; return nil },
		"is slow": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"refuses": func(context.Context) error { return errors.New("no") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			logs, to := &logBuffer{}, &collector{export: export}
			tracer, end, err := newTracer(to, "test", 1, noop.Meter{}, slog.New(slog.NewTextHandler(logs, nil)))
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			for range 10 * maxQueuedSpans {
				_, span := tracing.Root(t.Context(), tracer, "vote")
				span.End()
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("the spans took %v", took) // each would take seconds if it waited
			}
			begin = time.Now()
			_ = end(t.Context())
			if took := time.Since(begin); took > lastSpansTimeout+5*time.Second {
				t.Errorf("the end took %v", took)
			}
			if !to.ended.Load() {
				t.Error("the connection to the collector is left open")
			}
			if n := strings.Count(logs.String(), "spans cannot be sent"); name == "refuses" && n != 1 || n > 1 {
				t.Errorf("%d lines in the log:\n%s", n, logs)
			}
		})
	}
}

// With nobody at the endpoint, or somebody who takes a connection and says nothing, a process starts and ends as ever.
func TestNoCollector(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	for name, endpoint := range map[string]string{
		"nobody": "http://127.0.0.1:1", "silent": "http://" + silent.Addr().String(), "silent TLS": "https://" + silent.Addr().String(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			tracer, end, err := NewTracer("test", config.Trace{Endpoint: endpoint, Ratio: 1}, noop.Meter{}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			_, span := tracing.Root(t.Context(), tracer, "vote")
			span.End()
			_ = end(t.Context())
			if took := time.Since(begin); took > lastSpansTimeout+5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestWithoutAnEndpointNothingIsTraced(t *testing.T) {
	tracer, end, err := NewTracer("test", config.DefaultTrace(), noop.Meter{}, slog.New(slog.DiscardHandler))
	if err != nil || !tracing.Off(tracer) || end(t.Context()) != nil {
		t.Errorf("a tracer %T, %v", tracer, err)
	}
	if allocs := testing.AllocsPerRun(100, func() {
		_, span := tracing.Root(context.Background(), tracer, "vote batch")
		span.End()
	}); allocs != 0 {
		t.Errorf("%v allocations a root", allocs)
	}
}

// A collector that works gets every span, also the last ones, and the process says how many.
func TestSpansAreSentAndCounted(t *testing.T) {
	to := &collector{export: func(context.Context) error { return nil }}
	reader := sdkmetric.NewManualReader()
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test")
	tracer, end, err := newTracer(to, "test", 1, meter, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		_, span := tracing.Root(t.Context(), tracer, "vote")
		span.End()
	}
	if err := end(t.Context()); err != nil || to.spans.Load() != 100 {
		t.Errorf("%d spans were sent, %v", to.spans.Load(), err)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, point := range all.ScopeMetrics[0].Metrics[0].Data.(metricdata.Sum[int64]).DataPoints {
		result, _ := point.Attributes.Value("result")
		got[result.AsString()] = point.Value
	}
	if got["ended"] != 100 || got["sent"] != 100 || got["failed"] != 0 {
		t.Errorf("%v", got)
	}
}

// Roots with links follow them, others the ratio, and whatever has a parent follows that.
func TestWhoIsSampled(t *testing.T) {
	spanContext := func(sampled trace.TraceFlags) trace.SpanContext {
		return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: sampled, Remote: true})
	}
	yes, no := spanContext(trace.FlagsSampled), spanContext(0)
	link := func(of trace.SpanContext) trace.Link { return trace.Link{SpanContext: of} }
	for _, c := range []struct {
		name   string
		ratio  float64
		parent trace.SpanContext
		links  []trace.Link
		want   bool
	}{
		{name: "root, all", ratio: 1, want: true},
		{name: "root, none", ratio: 0, want: false},
		{name: "linked with a sampled one", ratio: 0, links: []trace.Link{link(no), link(yes)}, want: true},
		{name: "linked with none that is", ratio: 1, links: []trace.Link{link(no), link(no)}, want: false},
		{name: "below a sampled one", ratio: 0, parent: yes, want: true},
		{name: "below one that is not", ratio: 1, parent: no, links: []trace.Link{link(yes)}, want: false},
	} {
		tracer := sdk.NewTracerProvider(sdk.WithSampler(newSampler(c.ratio))).Tracer("test")
		_, span := tracer.Start(trace.ContextWithSpanContext(context.Background(), c.parent), "span", trace.WithLinks(c.links...))
		if got := span.SpanContext().IsSampled(); got != c.want {
			t.Errorf("%s: sampled is %v", c.name, got)
		}
	}
}
