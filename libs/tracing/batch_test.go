package tracing_test

import (
	"reflect"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/littlevote/littlevote/libs/tracing"
)

func itself(span trace.Span) trace.Span { return span }

func TestABatchIsLinkedWithItsFirstItemsAndEachOfThemWithIt(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	tracer := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)).Tracer("test")
	const many = tracing.MaxLinks + 72
	var votes []trace.Span
	for range many {
		_, span := tracer.Start(t.Context(), "vote")
		votes = append(votes, span)
	}
	votes = append(votes, votes[many-1], nil, noop.Span{}) // another of the same request, and two that are not sampled

	ctx, request := tracer.Start(t.Context(), "another request")
	_, batch := tracing.Batch(ctx, "batch", "votes", votes, itself)
	batch.End()
	request.End()
	for _, span := range votes[:many] {
		span.End()
	}
	ended := recorder.Ended()
	if len(ended) != many+2 {
		t.Fatalf("%d spans", len(ended))
	}
	got := ended[0]
	if links := got.Links(); len(links) != tracing.MaxLinks || !links[0].SpanContext.Equal(votes[0].SpanContext()) {
		t.Errorf("the batch has %d links", len(links))
	}
	if got.Parent().IsValid() || got.SpanContext().TraceID() == request.SpanContext().TraceID() {
		t.Error("the batch belongs to one request")
	}
	if want := []attribute.KeyValue{attribute.Int("littlevote.votes", many+3), attribute.Int("littlevote.votes.sampled", many)}; !reflect.DeepEqual(got.Attributes(), want) {
		t.Errorf("%v", got.Attributes())
	}
	for _, span := range ended[2:] {
		if links := span.Links(); len(links) != 1 || !links[0].SpanContext.Equal(got.SpanContext()) {
			t.Fatalf("an item has the links %v", links)
		}
	}
}

func TestABatchOfWhatNobodyTracesCostsNothing(t *testing.T) {
	votes := []trace.Span{nil, noop.Span{}, trace.SpanFromContext(t.Context())}
	ctx := t.Context()
	if allocs := testing.AllocsPerRun(100, func() {
		got, span := tracing.Batch(ctx, "batch", "votes", votes, itself)
		span.End()
		if got != ctx {
			t.Error("another context")
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
