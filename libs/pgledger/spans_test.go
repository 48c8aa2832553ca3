package pgledger_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	otelcodes "go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/littlevote/littlevote/libs/pgledger"
)

// A transaction shows its statements, with their texts and without a value; where the caller is not traced it shows nothing.
func TestS73StatementsHaveSpansWithoutValues(t *testing.T) {
	pool := newLedger(t)
	recorder := tracetest.NewSpanRecorder()
	tracer := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)).Tracer("test")
	const secret = "a-candidate-that-nobody-should-see"
	b := pgledger.Batch{Events: eventsOf(newBatch("main", 1, secret))}
	b.Events[0].GetVotes()[0].Voter = secret
	if _, err := pgledger.Apply(t.Context(), pool, b); err != nil {
		t.Fatal(err)
	}
	if n := len(recorder.Started()); n != 0 {
		t.Fatalf("%d spans without a traced caller", n)
	}

	ctx, root := tracer.Start(t.Context(), "transaction")
	b = pgledger.Batch{Events: eventsOf(newBatch("main", 2, secret))}
	b.Events[0].GetVotes()[0].Voter = secret
	b.Events[0].GetVotes()[0].BodyHash = make([]byte, 16)
	if _, err := pgledger.Apply(ctx, pool, b); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(ctx, "SELECT 1 / $1::int FROM ballots", 0); err == nil {
		t.Fatal("a division by zero")
	}
	root.End()
	var names []string
	for _, span := range recorder.Ended() {
		if span.Name() == "transaction" {
			continue
		}
		names = append(names, span.Name())
		if span.Parent().SpanID() != root.SpanContext().SpanID() {
			t.Errorf("%s is no child of the caller's span", span.Name())
		}
		if failed := span.Status().Code == otelcodes.Error; failed != (span.Name() == "SELECT ballots") {
			t.Errorf("%s has status %v", span.Name(), span.Status())
		}
		for _, a := range span.Attributes() {
			if strings.Contains(a.Value.String(), secret) {
				t.Errorf("%s tells %s", span.Name(), a.Value.String())
			}
		}
	}
	want := []string{
		"BEGIN, SELECT ledger_epoch, SELECT ballots", "INSERT applied_batches", "COPY vote_logs", "COPY vote_keys",
		"INSERT user_votes, INSERT tickets", "COMMIT", "SELECT ballots",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("statements (-want +got):\n%s", diff)
	}
}
