package service

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/tlsfiles"
	"github.com/littlevote/littlevote/libs/tracing"
)

// Bounds of the spans that wait, and of what sending them takes.
const (
	maxQueuedSpans   = 4096 // what comes then is dropped
	maxSentSpans     = 512  // in one call to the collector
	sendSpansEvery   = time.Second
	sendSpansTimeout = 5 * time.Second // with all its tries
	// lastSpansTimeout is what the last spans may take when the process ends, inside the time that an orchestrator leaves it.
	lastSpansTimeout = time.Second
)

// NewTracer makes the tracer of a process, and what sends the last spans, within a second, and ends it. Without an endpoint it
// traces nothing. It does not connect: the collector may come later, and go. Spans wait in a bounded queue for a worker that sends
// them; where it is full they are dropped, so nobody ever waits for a collector.
func NewTracer(process string, settings config.Trace, meter metric.Meter, log *slog.Logger) (trace.Tracer, func(context.Context) error, error) {
	if settings.Endpoint == "" {
		return noop.Tracer{}, func(context.Context) error { return nil }, nil
	}
	secure, err := collectorTLS(settings, log)
	if err != nil {
		return nil, nil, err
	}
	client, err := otlptracegrpc.New(context.Background(),
		otlptracegrpc.WithEndpointURL(settings.Endpoint),
		secure,
		otlptracegrpc.WithTimeout(sendSpansTimeout),
		otlptracegrpc.WithCompressor("gzip"),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{
			Enabled: true, InitialInterval: 200 * time.Millisecond, MaxInterval: time.Second, MaxElapsedTime: sendSpansTimeout,
		}))
	if err != nil {
		return nil, nil, fmt.Errorf("traces: %w", err)
	}
	return newTracer(client, process, settings.Ratio, meter, log)
}

// collectorTLS is how a collector is spoken to: in plaintext, or by TLS with files that are read again when they change.
func collectorTLS(settings config.Trace, log *slog.Logger) (otlptracegrpc.Option, error) {
	if !strings.HasPrefix(settings.Endpoint, "https://") {
		return otlptracegrpc.WithInsecure(), nil
	}
	files, err := tlsfiles.Open("trace", settings.Files(), log)
	if err != nil {
		return nil, err
	}
	return otlptracegrpc.WithTLSCredentials(files.Credentials()), nil
}

func newTracer(
	to sdk.SpanExporter, process string, ratio float64, meter metric.Meter, log *slog.Logger,
) (trace.Tracer, func(context.Context) error, error) {
	spans := &spans{next: to, log: log}
	provider := sdk.NewTracerProvider(
		sdk.WithSpanProcessor(ends{spans}),
		sdk.WithBatcher(spans,
			sdk.WithMaxQueueSize(maxQueuedSpans), sdk.WithMaxExportBatchSize(maxSentSpans),
			sdk.WithBatchTimeout(sendSpansEvery), sdk.WithExportTimeout(sendSpansTimeout)),
		sdk.WithSampler(newSampler(ratio)),
		sdk.WithResource(resourceOf(process)),
		sdk.WithRawSpanLimits(sdk.SpanLimits{
			AttributeValueLengthLimit: 1024, AttributeCountLimit: 64, EventCountLimit: 64, LinkCountLimit: tracing.MaxLinks,
			AttributePerEventCountLimit: 16, AttributePerLinkCountLimit: 16,
		}),
	)
	end := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSpansTimeout)
		defer cancel()
		err := provider.Shutdown(ctx)
		if ctx.Err() != nil {
			_ = to.Shutdown(ctx) // The call that is under way would outlive us; err says already that spans were lost.
		}
		return err
	}
	if err := spans.observe(meter); err != nil {
		_ = end(context.Background()) // Nothing was sent yet.
		return nil, nil, fmt.Errorf("metrics: %w", err)
	}
	return provider.Tracer(tracing.Scope), end, nil
}

// resourceOf is what traces and metrics say of the process that they come from.
func resourceOf(process string) *resource.Resource {
	return resource.NewSchemaless(
		attribute.String("service.namespace", "littlevote"),
		attribute.String("service.name", process),
		attribute.String("service.version", Version()),
		attribute.String("service.instance.id", instance()),
	)
}

// instance is a name that no other process has at this time. In a container the host's name is the container's.
func instance() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}
