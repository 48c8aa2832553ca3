package persist

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/events"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// seen is what a tracer recorded.
type seen struct {
	*tracetest.SpanRecorder
	tracer trace.Tracer
}

func newSeen() *seen {
	r := tracetest.NewSpanRecorder()
	return &seen{r, sdk.NewTracerProvider(sdk.WithSpanProcessor(r)).Tracer("test")}
}

func (s *seen) named(name string) []sdk.ReadOnlySpan {
	return slices.DeleteFunc(s.Ended(), func(span sdk.ReadOnlySpan) bool { return span.Name() != name })
}

func hasLink(from, to sdk.ReadOnlySpan) bool {
	return slices.ContainsFunc(from.Links(), func(l sdk.Link) bool { return l.SpanContext.SpanID() == to.SpanContext().SpanID() })
}

func attributeOf(span sdk.ReadOnlySpan, key attribute.Key) string {
	for _, a := range span.Attributes() {
		if a.Key == key {
			return a.Value.String()
		}
	}
	return ""
}

// sendIn produces a value within the span of a vote batch.
func (w *town) sendIn(s *seen, value []byte) trace.SpanContext {
	w.Helper()
	ctx, span := s.tracer.Start(context.Background(), "vote batch")
	defer span.End()
	r := &kgo.Record{Topic: w.topics.Votes, Key: events.Key("main", 0), Value: value}
	events.Inject(ctx, r)
	if err := w.client.ProduceSync(w.Context(), r).FirstErr(); err != nil {
		w.Fatal(err)
	}
	return span.SpanContext()
}

func (w *town) encode(b *eventv1.VoteBatch) []byte {
	w.Helper()
	value, err := events.Encode(b)
	if err != nil {
		w.Fatal(err)
	}
	return value
}

// A traced batch leads to the transaction that applied it and back, over the headers of its record; one that nobody traces shows
// in neither; and a dead letter keeps the way to where it came from.
func TestS73FromTheBatchToItsTransaction(t *testing.T) {
	w := newTown(t, 1)
	s := newSeen()
	const secret = "somebody"
	b := w.batch("A", "B")
	b.Votes[0].Voter = secret
	batches := []trace.SpanContext{w.sendIn(s, w.encode(b)), w.sendIn(s, w.encode(w.batch(secret)))}
	w.send(0, w.batch("A"))
	batches = append(batches, w.sendIn(s, []byte("not ours")))
	w.start(func(c *Config, _ *Persister) { c.Tracer = s.tracer })
	w.awaitOffset(0, 4)
	w.eventually(func() error {
		if n := len(s.named("apply batch")); n != 3 {
			return fmt.Errorf("%d records have ended spans, want 3", n)
		}
		return nil
	})
	transactions := s.named("persist transaction")
	for _, record := range s.named("apply batch") {
		if record.SpanKind() != trace.SpanKindConsumer || !slices.ContainsFunc(batches, func(b trace.SpanContext) bool {
			return b.SpanID() == record.Parent().SpanID() && b.TraceID() == record.SpanContext().TraceID()
		}) {
			t.Errorf("%s %v is no child of a batch's", record.SpanKind(), record.Parent())
		}
		if !slices.ContainsFunc(transactions, func(t sdk.ReadOnlySpan) bool { return hasLink(record, t) && hasLink(t, record) }) {
			t.Errorf("the record at %s has no transaction that is linked with it both ways", attributeOf(record, "messaging.kafka.offset"))
		}
		want := map[string]string{"0": "applied", "1": "applied", "3": "dead_letter"}[attributeOf(record, "messaging.kafka.offset")]
		if got := attributeOf(record, "littlevote.verdict"); got != want {
			t.Errorf("verdict %q, want %q", got, want)
		}
	}
	w.checkTransactions(s, transactions)
	for _, span := range s.Ended() {
		for _, a := range span.Attributes() {
			if strings.Contains(a.Value.String(), secret) {
				t.Errorf("%s tells %s=%s", span.Name(), a.Key, a.Value.String())
			}
		}
	}
	w.checkLetter(batches[2])
}

func (w *town) checkTransactions(s *seen, transactions []sdk.ReadOnlySpan) {
	w.Helper()
	for _, transaction := range transactions {
		if transaction.Parent().IsValid() {
			w.Errorf("a transaction is no root: %v", transaction.Parent())
		}
		if attributeOf(transaction, "littlevote.partitions") != "1" || attributeOf(transaction, "littlevote.records") == "" ||
			attributeOf(transaction, "littlevote.votes") == "" {
			w.Errorf("attributes %v", transaction.Attributes())
		}
		var below []string
		for _, span := range s.Ended() {
			if span.Parent().SpanID() == transaction.SpanContext().SpanID() {
				below = append(below, span.Name())
			}
		}
		if !slices.Contains(below, "COMMIT") || !slices.ContainsFunc(below, func(n string) bool { return strings.HasPrefix(n, "BEGIN") }) {
			w.Errorf("statements of a transaction: %q", below)
		}
	}
}

func (w *town) checkLetter(batch trace.SpanContext) {
	w.Helper()
	client, err := events.NewClient(w.kafka, slog.New(slog.DiscardHandler), kgo.ConsumeTopics(w.topics.DeadLetters), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		w.Fatal(err)
	}
	defer client.Close()
	w.eventually(func() error {
		ctx, cancel := context.WithTimeout(w.Context(), patience)
		defer cancel()
		letters := client.PollFetches(ctx).Records()
		if len(letters) == 0 {
			return errors.New("no dead letter yet")
		}
		if got := trace.SpanContextFromContext(events.Extract(context.Background(), letters[0])); got.SpanID() != batch.SpanID() {
			w.Errorf("the dead letter says %v", got)
		}
		return nil
	})
}

// What headers say is nothing to a persister without traces, and no reason to stop.
func TestHeadersWithoutATracer(t *testing.T) {
	w := newTown(t, 1)
	w.sendIn(newSeen(), w.encode(w.batch("A")))
	w.start()
	w.awaitVotes("A", 1)
}
