package events

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/tracing"
)

// Inject writes the context of a sampled span to the headers of a record, as W3C traceparent and tracestate.
func Inject(ctx context.Context, r *kgo.Record) {
	if trace.SpanContextFromContext(ctx).IsSampled() {
		tracing.Inject(ctx, headers{r})
	}
}

// Extract is the inverse of Inject: ctx with the span that a record names as its remote one, or ctx. Anybody may have written the
// record, so what is no context is none.
func Extract(ctx context.Context, r *kgo.Record) context.Context {
	if len(r.Headers) == 0 {
		return ctx
	}
	return tracing.Extract(ctx, headers{r})
}

// headers are those of a record as package propagation wants them.
type headers struct{ *kgo.Record }

// maxHeader is far above what a context has.
const maxHeader = 1024

// Get is part of propagation.TextMapCarrier.
func (h headers) Get(key string) string {
	for _, header := range h.Headers {
		if header.Key == key && len(header.Value) <= maxHeader {
			return string(header.Value)
		}
	}
	return ""
}

// Set is part of propagation.TextMapCarrier.
func (h headers) Set(key, value string) {
	h.Headers = append(h.Headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
}

// Keys is part of propagation.TextMapCarrier.
func (h headers) Keys() []string {
	keys := make([]string, len(h.Headers))
	for i, header := range h.Headers {
		keys[i] = header.Key
	}
	return keys
}
