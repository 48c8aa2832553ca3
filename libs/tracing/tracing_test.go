package tracing_test

import (
	"context"
	"errors"
	"testing"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/littlevote/littlevote/libs/tracing"
)

func TestChildrenOnlyOfWhatIsRecorded(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(recorder))

	if allocs := testing.AllocsPerRun(100, func() {
		_, span := tracing.Start(t.Context(), "nobody looks")
		tracing.End(span, nil)
	}); allocs != 0 {
		t.Errorf("%v allocations without a recording parent", allocs)
	}
	if ended := recorder.Ended(); len(ended) != 0 {
		t.Fatalf("%d spans without a parent", len(ended))
	}

	ctx, root := provider.Tracer("test").Start(context.Background(), "root")
	_, child := tracing.Start(ctx, "child")
	tracing.End(child, errors.New("a secret"))
	root.End()
	ended := recorder.Ended()
	if len(ended) != 2 || ended[0].Parent().SpanID() != root.SpanContext().SpanID() {
		t.Fatalf("%d spans, want a child and its root", len(ended))
	}
	if status := ended[0].Status(); status.Code != codes.Error || status.Description == "a secret" {
		t.Errorf("status of the child: %+v", status)
	}
}
