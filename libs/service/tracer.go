package service

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/tracing"
)

// NewTracer makes the tracer of a process, and what sends the last spans and ends it. Without an endpoint it traces nothing.
func NewTracer(process string, settings config.Trace) (trace.Tracer, func(context.Context) error, error) {
	if settings.Endpoint == "" {
		return noop.Tracer{}, func(context.Context) error { return nil }, nil
	}
	exporter, err := otlptracegrpc.New(context.Background(), otlptracegrpc.WithEndpointURL(settings.Endpoint))
	if err != nil {
		return nil, nil, fmt.Errorf("traces: %w", err)
	}
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(exporter),
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(settings.Ratio))),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", process))),
	)
	return provider.Tracer(tracing.Scope), provider.Shutdown, nil
}
