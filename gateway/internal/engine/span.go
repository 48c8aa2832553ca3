package engine

import (
	"context"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/gateway/internal/spans"
	"github.com/littlevote/littlevote/libs/tracing"
)

// maxName bounds the name of an operation in a trace, in bytes.
const maxName = 64

// startSpan begins the span of an operation, if its request is sampled: also below a request that has ended in traces, as that
// of a WebSocket does with its handshake.
func (o Operation) startSpan(ctx context.Context) (context.Context, trace.Span) {
	request := trace.SpanFromContext(ctx)
	if !request.SpanContext().IsSampled() {
		return ctx, request
	}
	kind, name := string(o.definition.Operation), o.traceName()
	return request.TracerProvider().Tracer(tracing.Scope).Start(ctx, kind+" "+name, trace.WithAttributes(
		attribute.String("graphql.operation.type", kind), attribute.String("graphql.operation.name", name),
	))
}

// traceName is what its client calls the operation, or, where that is nothing or long, its root fields.
func (o Operation) traceName() string {
	if name := o.definition.Name; name != "" && len(name) <= maxName {
		return name
	}
	var fields []string
	rootFields(o.definition.SelectionSet, &fields)
	name := strings.Join(fields, ",")
	if len(name) > maxName {
		name = name[:maxName-3] + "..."
	}
	return name
}

// rootFields appends the different fields of a root, by their names in the schema.
func rootFields(set ast.SelectionSet, fields *[]string) {
	for _, selection := range set {
		switch selected := selection.(type) {
		case *ast.Field:
			if !slices.Contains(*fields, selected.Name) {
				*fields = append(*fields, selected.Name)
			}
		case *ast.InlineFragment:
			rootFields(selected.SelectionSet, fields)
		case *ast.FragmentSpread:
			rootFields(selected.Definition.SelectionSet, fields)
		}
	}
}

// endSpan ends the span of an operation with its first error, if there is one.
func endSpan(span trace.Span, errs gqlerror.List) {
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(attribute.Int("graphql.errors", len(errs)))
	for _, err := range errs {
		if code, known := err.Extensions["code"].(string); known {
			spans.CameTo(span, code)
			break
		}
	}
	span.End()
}
