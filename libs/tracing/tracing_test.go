package tracing_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/littlevote/littlevote/libs/tracing"
)

func recording(t *testing.T) (*tracetest.SpanRecorder, trace.Tracer) {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	return recorder, sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)).Tracer("test")
}

func TestChildrenOnlyOfWhatIsRecorded(t *testing.T) {
	recorder, tracer := recording(t)
	never, _ := sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample())).Tracer("test").Start(t.Context(), "root")
	for _, ctx := range []context.Context{t.Context(), never} {
		if allocs := testing.AllocsPerRun(100, func() {
			_, span := tracing.Start(ctx, "nobody looks")
			tracing.End(span, nil)
			_, span = tracing.StartKind(ctx, trace.SpanKindClient, "nobody looks")
			tracing.End(span, context.Canceled)
			_, span = tracing.Root(ctx, noop.Tracer{}, "nobody looks")
			tracing.End(span, nil)
			_ = tracing.Traceparent(ctx)
		}); allocs != 0 {
			t.Errorf("%v allocations without a recording parent", allocs)
		}
	}
	if ended := recorder.Ended(); len(ended) != 0 {
		t.Fatalf("%d spans without a parent", len(ended))
	}

	ctx, root := tracer.Start(context.Background(), "root")
	_, child := tracing.Start(ctx, "child")
	tracing.End(child, errors.New("a secret"))
	_, quiet := tracing.Start(tracing.Quiet(ctx), "quiet")
	tracing.End(quiet, nil)
	root.End()
	ended := recorder.Ended()
	if len(ended) != 2 || ended[0].Parent().SpanID() != root.SpanContext().SpanID() {
		t.Fatalf("%d spans, want a child and its root", len(ended))
	}
	if status := ended[0].Status(); status.Code != codes.Error || status.Description == "a secret" {
		t.Errorf("status of the child: %+v", status)
	}
}

func TestARootHasLinksAndNoParent(t *testing.T) {
	recorder, tracer := recording(t)
	ctx, vote := tracer.Start(t.Context(), "vote")
	_, batch := tracing.Root(ctx, tracer, "vote batch", trace.Link{SpanContext: vote.SpanContext()})
	batch.End()
	got := recorder.Ended()[0]
	if got.Parent().IsValid() || got.SpanContext().TraceID() == vote.SpanContext().TraceID() ||
		len(got.Links()) != 1 || got.Links()[0].SpanContext.SpanID() != vote.SpanContext().SpanID() {
		t.Errorf("a root below %v, linked with %v", got.Parent(), got.Links())
	}
}

func TestTraceparents(t *testing.T) {
	_, tracer := recording(t)
	ctx, span := tracer.Start(t.Context(), "vote")
	text := tracing.Traceparent(ctx)
	got := tracing.ParseTraceparent(text)
	if !got.IsRemote() || !got.IsSampled() || got.SpanID() != span.SpanContext().SpanID() || got.TraceID() != span.SpanContext().TraceID() {
		t.Errorf("%q is %v", text, got)
	}
	never, _ := sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample())).Tracer("test").Start(t.Context(), "vote")
	for _, ctx := range []context.Context{t.Context(), never} {
		if text := tracing.Traceparent(ctx); text != "" {
			t.Errorf("%q of a span that is not sampled", text)
		}
	}
}

func FuzzTraceparent(f *testing.F) {
	for _, text := range []string{
		"", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x", strings.Repeat("0", 55), strings.Repeat("\xff", 55),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := tracing.ParseTraceparent(text)
		if !got.IsValid() {
			return
		}
		if want := got.TraceID().String() + "-" + got.SpanID().String(); len(text) != 55 || text[3:52] != want {
			t.Errorf("%q is %s", text, want)
		}
	})
}

func TestLogLinesNameTheirSpan(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(tracing.Logs(slog.NewJSONHandler(&out, nil))).With("service", "test")
	_, tracer := recording(t)
	ctx, span := tracer.Start(t.Context(), "vote")
	never, _ := sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample())).Tracer("test").Start(t.Context(), "vote")
	for i, c := range []struct {
		ctx  context.Context
		want map[string]any
	}{
		{ctx, map[string]any{"trace_id": span.SpanContext().TraceID().String(), "span_id": span.SpanContext().SpanID().String()}},
		{never, map[string]any{"trace_id": nil, "span_id": nil}},
		{t.Context(), map[string]any{"trace_id": nil, "span_id": nil}},
	} {
		out.Reset()
		log.InfoContext(c.ctx, "said", "more", 1)
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line["trace_id"] != c.want["trace_id"] || line["span_id"] != c.want["span_id"] || line["service"] != "test" || line["more"] != 1.0 {
			t.Errorf("line %d: %s", i, out.String())
		}
	}
}
