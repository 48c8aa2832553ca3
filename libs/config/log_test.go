package config_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/config"
)

// The logger of a program names the span that a line belongs to.
func TestLinesNameTheirSpan(t *testing.T) {
	var out, errs bytes.Buffer
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	program := config.Program{
		Name: "test", Stdout: &out, Stderr: &errs,
		Run: func(ctx context.Context, log *slog.Logger) error {
			log.InfoContext(trace.ContextWithSpanContext(ctx, span), "said inside")
			log.InfoContext(ctx, "said outside")
			return nil
		},
	}
	if code := program.Execute(t.Context()); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	for line := range strings.Lines(errs.String()) {
		if named := strings.Contains(line, `"trace_id":"`+span.TraceID().String()); named != strings.Contains(line, "said inside") {
			t.Errorf("%s", line)
		}
	}
	if !strings.Contains(errs.String(), "said inside") {
		t.Errorf("nothing was said: %s", errs.String())
	}
}
