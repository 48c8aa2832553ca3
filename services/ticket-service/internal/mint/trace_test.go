package mint

import (
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// Each ticket that is minted has a trace, down to the script; the ticket's value is in none.
func TestS73MintingIsSeen(t *testing.T) {
	t.Parallel()
	s := newSite(t, open(main, 200*time.Millisecond))
	recorder := tracetest.NewSpanRecorder()
	s.tracer = sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)).Tracer("test")
	r := s.start(time.Second, nil)
	r.untilRecorded(main, 3)
	r.stop()
	ended := recorder.Ended()
	for _, h := range r.history.all(main) {
		at := slices.IndexFunc(ended, func(span sdk.ReadOnlySpan) bool {
			return slices.ContainsFunc(span.Attributes(), func(a attribute.KeyValue) bool { return a.Value.String() == h.Version })
		})
		if at < 0 {
			t.Errorf("nothing is seen of ticket %s", h.Version)
			continue
		}
		if !slices.ContainsFunc(ended, func(span sdk.ReadOnlySpan) bool {
			return span.Name() == "redis mint" && span.Parent().SpanID() == ended[at].SpanContext().SpanID()
		}) {
			t.Errorf("nothing is seen of the script that made ticket %s", h.Version)
		}
		for _, span := range ended {
			for _, a := range span.Attributes() {
				if strings.Contains(a.Value.String(), h.Value) {
					t.Errorf("%s tells a ticket", span.Name())
				}
			}
		}
	}
}
