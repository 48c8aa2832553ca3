package events_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/events"
)

// A record tells its reader of the span that it was written in, and so does its dead letter.
func TestTheSpanIsInTheHeaders(t *testing.T) {
	ctx, span := sdk.NewTracerProvider().Tracer("test").Start(t.Context(), "vote batch")
	record := &kgo.Record{Topic: "votes", Value: []byte("x")}
	events.Inject(ctx, record)
	letter := events.NewDeadLetter(record, errors.New("not ours"), time.Now()).Record("dead")
	for name, r := range map[string]*kgo.Record{"record": record, "dead letter": letter} {
		got := trace.SpanContextFromContext(events.Extract(context.Background(), r))
		if got.TraceID() != span.SpanContext().TraceID() || got.SpanID() != span.SpanContext().SpanID() || !got.IsRemote() || !got.IsSampled() {
			t.Errorf("the %s says %+v", name, got)
		}
	}
}

func TestHeadersOfOthersAreNoContext(t *testing.T) {
	for _, value := range []string{"", "00-0-0-01", "00-00000000000000000000000000000000-0000000000000000-01", string(make([]byte, 1<<20)), "\xff"} {
		r := &kgo.Record{Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte(value)}}}
		if got := trace.SpanContextFromContext(events.Extract(context.Background(), r)); got.IsValid() {
			t.Errorf("%.40q is %+v", value, got)
		}
	}
}

// What is not sampled costs a record nothing.
func TestNoHeadersWithoutASampledSpan(t *testing.T) {
	never, _ := sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample())).Tracer("test").Start(t.Context(), "vote batch")
	record := &kgo.Record{}
	for _, ctx := range []context.Context{t.Context(), never} {
		if allocs := testing.AllocsPerRun(100, func() {
			events.Inject(ctx, record)
			events.Extract(ctx, record)
		}); allocs != 0 || len(record.Headers) != 0 {
			t.Errorf("%v allocations, headers %v", allocs, record.Headers)
		}
	}
}
