package votetrace

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// whole are spans that show the way of a vote, made of the steps themselves.
func whole(ledger Ledger) []*Span {
	var spans []*Span
	by := map[string]*Span{}
	for i, s := range steps(ledger) {
		span := &Span{
			ID: ID{Trace: "1", Span: fmt.Sprint(i)}, Name: strings.ReplaceAll(s.name, "*", "any"), Service: s.service, Attributes: map[string]string{},
			Start: time.Unix(int64(i), 0), Took: time.Duration(i) * time.Millisecond,
		}
		for _, want := range s.has {
			key, value, _ := strings.Cut(want, "=")
			span.Attributes[key] = value
		}
		switch from := by[s.from]; {
		case from == nil:
		case s.linked:
			span.Trace = fmt.Sprint("1.", i)
			span.Links, from.Links = append(span.Links, from.ID), append(from.Links, span.ID)
		default:
			span.Trace, span.Parent = from.Trace, from.Span
		}
		by[s.name], by[s.service+": "+s.name] = span, span
		spans = append(spans, span)
	}
	return spans
}

func TestAWholeWay(t *testing.T) {
	for _, ledger := range []Ledger{Redis, RedisNoLog} {
		spans := whole(ledger)
		if err := Way(New(append(spans, spans[0])), "1", ledger); err != nil {
			t.Errorf("%s: %v", ledger, err)
		}
	}
}

// Whatever is missing is missed: each span, each link in each direction, each attribute.
func TestWhatIsMissing(t *testing.T) {
	const ledger = Redis
	for i, step := range steps(ledger) {
		spans := whole(ledger)
		if err := Way(New(append(spans[:i:i], spans[i+1:]...)), "1", ledger); err == nil || !strings.Contains(err.Error(), step.name) {
			t.Errorf("without %q: %v", step.name, err)
		}
		for _, want := range step.has {
			spans := whole(ledger)
			key, _, _ := strings.Cut(want, "=")
			delete(spans[i].Attributes, key)
			if err := Way(New(spans), "1", ledger); err == nil || !strings.Contains(err.Error(), key) {
				t.Errorf("without %s of %q: %v", key, step.name, err)
			}
		}
		for link := range spans[i].Links {
			spans := whole(ledger)
			spans[i].Links = append(spans[i].Links[:link:link], spans[i].Links[link+1:]...)
			if err := Way(New(spans), "1", ledger); err == nil {
				t.Errorf("without link %d of %q nothing is missing", link, step.name)
			}
		}
	}
}

func TestPrint(t *testing.T) {
	spans := Spans{
		{ID: ID{"1", "a"}, Parent: "the client's", Service: "gateway", Name: "POST /graphql", Took: time.Second, Links: []ID{{"2", "c"}}},
		{ID: ID{"1", "b"}, Parent: "a", Service: "gateway", Name: "vote", Took: time.Millisecond, Failed: true, Attributes: map[string]string{"littlevote.code": "OK"}, Links: []ID{{"2", "c"}}},
		{ID: ID{"2", "c"}, Service: "gateway", Name: "CastVotes batch", Took: 1234 * time.Microsecond, Links: []ID{{"1", "b"}}},
	}
	var out strings.Builder
	if err := Print(&out, spans, "1"); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	for i := range lines {
		lines[i] = strings.Join(strings.Fields(lines[i]), " ")
	}
	if diff := cmp.Diff([]string{"POST /graphql gateway 1s", "└─ vote FAILED gateway 1ms code=OK", "⇄ CastVotes batch gateway 1.23ms", ""}, lines); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"2"}, spans[:2].Elsewhere()); diff != "" {
		t.Error(diff)
	}
}
