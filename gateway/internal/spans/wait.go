package spans

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Waited says how long it has waited in a queue what this is the span of; nil for none.
func Waited(span trace.Span, wait time.Duration) {
	if span != nil && span.IsRecording() {
		span.SetAttributes(attribute.Float64("littlevote.queue_wait_ms", float64(wait.Microseconds())/1000))
	}
}
