package voteservice_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/codes"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/embedded"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/libs/tracing"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// seen is what the instances' tracer recorded.
type seen struct {
	*tracetest.SpanRecorder
	t *testing.T
}

// watch makes the world's instances trace.
func (w *world) watch() *seen {
	s := &seen{tracetest.NewSpanRecorder(), w.t}
	w.tracer = sdk.NewTracerProvider(sdk.WithSpanProcessor(s)).Tracer("test")
	return s
}

// request is the span that a gateway has of a vote.
func (w *world) request(v *votev1.Vote) trace.SpanContext {
	ctx, span := w.tracer.Start(context.Background(), "vote")
	defer span.End()
	v.Traceparent = tracing.Traceparent(ctx)
	return span.SpanContext()
}

// await returns the spans of a name once there are so many that have ended.
func (s *seen) await(name string, atLeast int) (found []sdk.ReadOnlySpan) {
	s.t.Helper()
	testenv.Eventually(s.t, 20*time.Second, func() error {
		found = slices.DeleteFunc(s.Ended(), func(span sdk.ReadOnlySpan) bool { return span.Name() != name })
		if len(found) < atLeast {
			return fmt.Errorf("%d spans %q have ended, want %d", len(found), name, atLeast)
		}
		return nil
	})
	return found
}

// below are the names of a span's children, in the order of their ends.
func (s *seen) below(parent sdk.ReadOnlySpan) (names []string) {
	for _, span := range s.Ended() {
		if span.Parent().SpanID() == parent.SpanContext().SpanID() {
			names = append(names, span.Name())
		}
	}
	return names
}

// child is the last of a span's children of a name.
func (s *seen) child(parent sdk.ReadOnlySpan, name string) sdk.ReadOnlySpan {
	s.t.Helper()
	ended := s.Ended()
	slices.Reverse(ended)
	i := slices.IndexFunc(ended, func(c sdk.ReadOnlySpan) bool {
		return c.Parent().SpanID() == parent.SpanContext().SpanID() && c.Name() == name
	})
	if i < 0 {
		s.t.Fatalf("no %q below %q, only %q", name, parent.Name(), s.below(parent))
	}
	return ended[i]
}

// batchOf is the batch that the span of a vote is linked with, both ways.
func (s *seen) batchOf(vote sdk.ReadOnlySpan) sdk.ReadOnlySpan {
	s.t.Helper()
	for _, batch := range s.await("vote batch", 1) {
		if linked(vote, batch) && linked(batch, vote) {
			if batch.Parent().IsValid() {
				s.t.Errorf("a batch is no root: %v", batch.Parent())
			}
			return batch
		}
	}
	s.t.Fatalf("a vote has no batch that is linked with it both ways")
	return nil
}

// tellsNot fails if any span has the text.
func (s *seen) tellsNot(secret string) {
	s.t.Helper()
	for _, span := range s.Ended() {
		for _, a := range span.Attributes() {
			if strings.Contains(a.Value.String(), secret) {
				s.t.Errorf("%s tells %s=%s", span.Name(), a.Key, a.Value.String())
			}
		}
		if strings.Contains(span.Name()+span.Status().Description, secret) {
			s.t.Errorf("%s: %s", span.Name(), span.Status().Description)
		}
	}
}

func linked(from, to sdk.ReadOnlySpan) bool {
	return slices.ContainsFunc(from.Links(), func(l sdk.Link) bool { return l.SpanContext.Equal(to.SpanContext()) })
}

// attributes are those of the names.
func attributes(span sdk.ReadOnlySpan, keys ...string) map[string]string {
	all := map[string]string{}
	for _, a := range span.Attributes() {
		if slices.Contains(keys, string(a.Key)) {
			all[string(a.Key)] = a.Value.String()
		}
	}
	return all
}

// Each traced vote leads to the batch that carried it and back, and the batch to admission, log and settlement; the record carries
// the batch on. What is malformed or not sampled is decided like any other vote.
func TestS73FromTheVoteToItsBatchInRedis(t *testing.T) {
	w := newWorld(t)
	s := w.watch()
	i := w.start()
	const secret = "somebody"
	ref := w.mint("main", 100, time.Hour)
	votes := []*votev1.Vote{vote(ref, "A"), vote(nil, "A"), vote(nil, "A"), vote(nil, "A"), vote(nil, "A")}
	requests := map[trace.SpanID]trace.TraceID{}
	for _, v := range votes[:2] {
		v.VoterLabel = secret
		c := w.request(v)
		requests[c.SpanID()] = c.TraceID()
	}
	votes[2].Traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
	votes[3].Traceparent = "01-not-a-context-" + secret
	votes[4].Traceparent = strings.Repeat("\u00ff", 100_000)
	for _, v := range i.cast(t, votes...) {
		wantCounted(t, v)
	}
	decided := s.await("decide vote", 2)
	if len(decided) != 2 {
		t.Fatalf("%d votes have a span, want 2", len(decided))
	}
	for _, v := range decided {
		if requests[v.Parent().SpanID()] != v.SpanContext().TraceID() {
			t.Errorf("the span of a vote is below %v, not in its request's trace", v.Parent())
		}
		want := map[string]string{
			"littlevote.code": "OK", "littlevote.outcome": "COUNTED", "littlevote.ledger": "redis", "littlevote.attempts": "1",
		}
		if diff := cmp.Diff(want, attributes(v, "littlevote.code", "littlevote.outcome", "littlevote.ledger", "littlevote.attempts")); diff != "" {
			t.Errorf("vote (-want +got):\n%s", diff)
		}
		w.checkRedisBatch(s, s.batchOf(v))
	}
	s.tellsNot(secret)
}

func (w *world) checkRedisBatch(s *seen, batch sdk.ReadOnlySpan) {
	w.t.Helper()
	below := s.below(batch)
	if diff := cmp.Diff([]string{"admit", "produce", "settle"}, below); diff != "" {
		w.t.Errorf("below a batch (-want +got):\n%s", diff)
	}
	keys := []string{"littlevote.ledger", "littlevote.way", "littlevote.attempts", "littlevote.ballot"}
	want := map[string]string{"littlevote.ledger": "redis", "littlevote.way": "log", "littlevote.attempts": "1", "littlevote.ballot": "main"}
	if diff := cmp.Diff(want, attributes(batch, keys...)); diff != "" {
		w.t.Errorf("batch (-want +got):\n%s", diff)
	}
	for _, key := range []string{"littlevote.votes", "littlevote.lane", "littlevote.queue_wait_ms", "littlevote.votes.accepted"} {
		if attributes(batch, key)[key] == "" {
			w.t.Errorf("a batch has no %s: %v", key, batch.Attributes())
		}
	}
	if names := s.below(s.child(batch, "admit")); len(names) != 1 || !strings.HasPrefix(names[0], "redis ") || !strings.HasSuffix(names[0], "admit") {
		w.t.Errorf("below an admission: %q", names)
	}
	produce := s.child(batch, "produce")
	if produce.SpanKind() != trace.SpanKindProducer {
		w.t.Errorf("a record is produced by a %s", produce.SpanKind())
	}
	w.checkHeaders(batch.SpanContext())
}

// checkHeaders looks for a record of a batch in the log.
func (w *world) checkHeaders(batch trace.SpanContext) {
	w.t.Helper()
	client, err := events.NewClient(w.cfg.Kafka, slog.New(slog.DiscardHandler), kgo.ConsumeTopics(events.NewTopics(w.cfg.Kafka.TopicPrefix).Votes),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		for _, r := range client.PollFetches(ctx).Records() {
			if c := trace.SpanContextFromContext(events.Extract(context.Background(), r)); c.SpanID() == batch.SpanID() && c.TraceID() == batch.TraceID() {
				return
			}
		}
	}
	w.t.Error("no record carries the batch")
}

// In an epoch in Postgres the batch has one transaction below it, and that its statements; and the change there is seen.
func TestS73FromTheVoteToItsBatchInPostgres(t *testing.T) {
	w := newWorld(t)
	s := w.watch()
	i := w.start()
	w.persist()
	w.hold()
	w.mintInPostgres("main", 100, time.Hour)
	var request trace.SpanContext
	v := vote(nil, "A")
	testenv.Eventually(t, 20*time.Second, func() error {
		request = w.request(v)
		if got := i.cast(t, v)[0]; got.GetCode() != statusv1.Code_CODE_OK {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	decided := s.await("decide vote", 1)
	last := decided[len(decided)-1]
	if last.Parent().SpanID() != request.SpanID() {
		t.Errorf("the span of a vote is below %v", last.Parent())
	}
	batch := s.batchOf(last)
	want := map[string]string{"littlevote.ledger": "postgres", "littlevote.way": "postgres", "littlevote.votes.accepted": "1"}
	if diff := cmp.Diff(want, attributes(batch, "littlevote.ledger", "littlevote.way", "littlevote.votes.accepted")); diff != "" {
		t.Errorf("batch (-want +got):\n%s", diff)
	}
	if below := s.below(batch); len(below) != 1 || below[0] != "commit" {
		t.Errorf("below the batch: %q", below)
	}
	if below := s.below(s.child(batch, "commit")); !slices.Contains(below, "COMMIT") {
		t.Errorf("statements: %q", below)
	}
	var changed bool
	for _, change := range s.await("change epoch", 1) {
		changed = changed || slices.Equal(s.below(change), []string{"barrier", "drain", "open in postgres"})
	}
	if !changed {
		t.Error("no change of epoch shows its steps")
	}
}

// A batch that Kafka did not take shows where it went.
func TestS73TheFallbackIsSeen(t *testing.T) {
	w := newWorld(t)
	s := w.watch()
	kafka, err := embedded.Kafka("")
	if err != nil {
		t.Fatal(err)
	}
	w.cfg.Kafka.Brokers = kafka.Brokers()
	w.cfg.Vote.ProduceTimeout = 200 * time.Millisecond
	i := w.start()
	w.mint("main", 100, time.Hour)
	if err := kafka.Close(); err != nil {
		t.Fatal(err)
	}
	v := vote(nil, "A")
	w.request(v)
	wantCounted(t, i.cast(t, v)[0])
	batch := s.batchOf(s.await("decide vote", 1)[0])
	want := map[string]string{"littlevote.ledger": "redis", "littlevote.way": "fallback", "littlevote.attempts": "2"}
	if diff := cmp.Diff(want, attributes(batch, "littlevote.ledger", "littlevote.way", "littlevote.attempts")); diff != "" {
		t.Errorf("batch (-want +got):\n%s", diff)
	}
	if got := s.child(batch, "produce").Status().Code; got != codes.Error {
		t.Errorf("producing has status %v", got)
	}
	if got := attributes(s.child(batch, "commit"), "littlevote.ledger")["littlevote.ledger"]; got != "postgres" {
		t.Errorf("the commit is in %q", got)
	}
	s.child(batch, "settle")
}

// A batch that its owner left is seen to be finished by another.
func TestS73ARecoveryIsSeen(t *testing.T) {
	w := newWorld(t)
	s := w.watch()
	w.cfg.Vote.Timeout, w.cfg.Vote.OutboxLease = 500*time.Millisecond, time.Second
	w.start()
	w.mint("main", 10, time.Hour)
	id, key := uuid.Must(uuid.NewV7()), uuid.New()
	payload, err := proto.Marshal(&eventv1.OutboxBatch{GroupSizes: []uint32{1}, Batch: &eventv1.VoteBatch{
		Format: 1, BatchId: id[:], Epoch: w.fence().Epoch, Ballot: "main", Candidates: []string{"A"},
		Votes: []*eventv1.VoteEvent{{VoteId: key[:], Candidates: []uint32{0}, Deltas: []int64{1}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if a, _ := w.ledger.Admit(t.Context(), w.fence(), &redisledger.Batch{
		ID: id, Ballot: "main", Payload: payload, Tickets: []string{""}, Groups: []redisledger.Group{{Votes: 1}},
	}, 10, nil); a.Err != nil {
		t.Fatal(a.Err)
	}
	recovery := s.await("recover batch", 1)[0]
	if got := attributes(recovery, "littlevote.batch.id")["littlevote.batch.id"]; got != id.String() || recovery.Parent().IsValid() {
		t.Errorf("a recovery of %s, below %v", got, recovery.Parent())
	}
	if diff := cmp.Diff([]string{"redis claim", "produce", "settle"}, s.below(recovery)); diff != "" {
		t.Errorf("below the recovery (-want +got):\n%s", diff)
	}
}

// A collector that takes connections and then says nothing delays neither votes nor the stop.
func TestVotesGoOnWhenTheCollectorHangs(t *testing.T) {
	w := newWorld(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	tracer, end, err := service.NewTracer("vote-service", config.Trace{Endpoint: "http://" + silent.Addr().String(), Ratio: 1},
		metricnoop.Meter{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w.tracer = tracer
	i := w.start()
	w.mint("main", redisledger.NoCap, time.Hour)
	votes := make([]*votev1.Vote, 500)
	for n := range votes {
		votes[n] = vote(nil, "A")
	}
	for range 5 { // more spans than may wait
		for _, v := range votes {
			w.request(v)
		}
		for _, v := range i.cast(t, votes...) {
			wantCounted(t, v)
		}
	}
	begin := time.Now()
	i.stop()
	_ = end(t.Context())
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("the stop took %v", took)
	}
}
