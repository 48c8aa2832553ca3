package redisledger_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/littlevote/littlevote/libs/redisledger"
)

// A call of scripts shows which, and nothing of what they were given; where the caller is not traced it shows nothing.
func TestS73CallsHaveSpansWithoutArguments(t *testing.T) {
	b := newBench(t, 10, time.Hour)
	recorder := tracetest.NewSpanRecorder()
	tracer := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)).Tracer("test")
	if _, err := b.ledger.Ticket(t.Context(), b.fence, b.ballot); err != nil {
		t.Fatal(err)
	}
	if n := len(recorder.Started()); n != 0 {
		t.Fatalf("%d spans without a traced caller", n)
	}
	const secret = "a-candidate-that-nobody-should-see"
	ctx, root := tracer.Start(t.Context(), "vote batch")
	batch := func() *redisledger.Batch {
		return &redisledger.Batch{
			ID: uuid.Must(uuid.NewV7()), Ballot: b.ballot, Payload: []byte(secret), Tickets: []string{""}, Groups: []redisledger.Group{{Votes: 1}},
		}
	}
	one := batch()
	first, _ := b.ledger.Admit(ctx, b.fence, one, 10, nil)
	if first.Err != nil {
		t.Fatal(first.Err)
	}
	_, settled := b.ledger.Admit(ctx, b.fence, batch(), 10, &redisledger.Settlement{
		Fence: b.fence, ID: one.ID, Ballot: b.ballot, AdmittedAt: first.Verdict.At, Names: []string{secret}, Counts: []int64{1},
	})
	if settled.Err != nil {
		t.Fatal(settled.Err)
	}
	root.End()
	var names []string
	for _, span := range recorder.Ended() {
		names = append(names, span.Name())
		for _, a := range span.Attributes() {
			if strings.Contains(a.Value.String(), secret) {
				t.Errorf("%s tells %s", span.Name(), a.Value.String())
			}
		}
		if span.Name() != "vote batch" && span.Parent().SpanID() != root.SpanContext().SpanID() {
			t.Errorf("%s is no child of the caller's span", span.Name())
		}
	}
	if got := strings.Join(names, "; "); got != "redis admit; redis settle, admit; vote batch" {
		t.Errorf("spans: %s", got)
	}
}
