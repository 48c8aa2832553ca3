package queryservice_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/littlevote/littlevote/libs/testenv"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"

	queryservice "github.com/littlevote/littlevote/services/query-service"
)

// A call shows which fetch answered it, the fetch which store, and neither whose counts or voters were asked for.
func TestAReadInATrace(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(*queryservice.Config) {},
		aBallot("quiet", "open", "after_vote", ""))
	w.spans.Reset()
	w.read(&queryv1.TallyRead{Ballot: "quiet", Candidates: []string{"Candice"}, Viewer: &queryv1.Viewer{Voter: "jwt:somebody"}})

	call := w.span("littlevote.query.v1.QueryService/GetTallies")
	for name, below := range map[string]string{"fetch counts": "redis read", "look up voters": "redis voter"} {
		batch := w.span(name)
		if !linked(call, batch) || !linked(batch, call) {
			t.Errorf("the call and %q are not linked", name)
		}
		if store := w.span(below); store.Parent().SpanID() != batch.SpanContext().SpanID() {
			t.Errorf("%q is not below %q", below, name)
		}
	}
	if text := fmt.Sprint(w.span("fetch counts").Attributes()); !strings.Contains(text, "redis") {
		t.Errorf("which store the counts are from: %s", text)
	}
	for _, span := range w.spans.Ended() {
		if text := fmt.Sprint(span.Name(), span.Attributes(), span.Events(), span.Status()); strings.Contains(text, "Candice") || strings.Contains(text, "somebody") {
			t.Errorf("%s holds what was asked for: %s", span.Name(), text)
		}
	}
}

// span waits for the first span of a name to end.
func (w *world) span(name string) sdk.ReadOnlySpan {
	w.t.Helper()
	var found sdk.ReadOnlySpan
	testenv.Eventually(w.t, 20*time.Second, func() error {
		var names []string
		for _, span := range w.spans.Ended() {
			if span.Name() == name {
				found = span
				return nil
			}
			names = append(names, span.Name())
		}
		return fmt.Errorf("no span %q among %q", name, names)
	})
	return found
}

func linked(from, to sdk.ReadOnlySpan) bool {
	for _, link := range from.Links() {
		if link.SpanContext.Equal(to.SpanContext()) {
			return true
		}
	}
	return false
}
