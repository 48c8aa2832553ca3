package voting

import (
	"context"
	"log/slog"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/littlevote/littlevote/libs/redisledger"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// A vote that nobody traces costs what it did before there were traces: in a process without, and in one with.
func TestVotesCostNothingMoreWithoutASpan(t *testing.T) {
	notSampled := "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
	for name, c := range map[string]struct {
		tracer      trace.Tracer
		traceparent string
	}{
		"no traces":               {noop.Tracer{}, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
		"nobody told of any span": {sdk.NewTracerProvider().Tracer("test"), ""},
	} {
		e := NewEngine(Config{}, Parts{Tracer: c.tracer, Log: slog.New(slog.DiscardHandler)})
		n := &batch{jobs: make([]*job, 100)}
		for i := range n.jobs {
			n.jobs[i] = &job{verdict: &votev1.Verdict{}}
		}
		if allocs := testing.AllocsPerRun(100, func() {
			for _, j := range n.jobs {
				j.trace = e.traceVote(c.traceparent)
				j.endTrace()
			}
			e.traceBatch(n)
			_, round := e.beginRound(n, n)
			round.end(redisledger.Admitted{Err: context.Canceled}, redisledger.SettleReply{})
			_, span := startCommit(n.ctx, ways[byPostgres])
			span.End()
			n.came(unknown)
			n.endTrace()
		}); allocs != 0 {
			t.Errorf("%s: %v allocations for 100 votes", name, allocs)
		}
	}
	e := NewEngine(Config{}, Parts{Tracer: sdk.NewTracerProvider().Tracer("test"), Log: slog.New(slog.DiscardHandler)})
	if e.traceVote(notSampled) != nil {
		t.Error("a vote is traced that is not sampled")
	}
}
