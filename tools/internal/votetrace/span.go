package votetrace

import (
	"cmp"
	"slices"
	"time"
)

// ID names a span.
type ID struct{ Trace, Span string } // in hexadecimal

// Span is one as a collector has it.
type Span struct {
	ID

	Parent     string // empty for a root
	Service    string
	Name       string
	Start      time.Time
	Took       time.Duration
	Failed     bool
	Attributes map[string]string
	Links      []ID
}

// Spans are those of one or more traces.
type Spans []*Span

// New sorts spans by their beginning. One that was sent twice is there once.
func New(all []*Span) Spans {
	seen := map[ID]bool{}
	sorted := slices.DeleteFunc(slices.Clone(all), func(s *Span) bool {
		twice := seen[s.ID]
		seen[s.ID] = true
		return twice
	})
	slices.SortStableFunc(sorted, func(a, b *Span) int { return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Span, b.Span)) })
	return sorted
}

// Below are the children of a span, in any process.
func (all Spans) Below(parent *Span) Spans {
	return all.those(func(s *Span) bool { return s.Trace == parent.Trace && s.Parent == parent.Span })
}

// Roots are the spans of a trace whose parent is not there: the request of a client that is traced too is elsewhere.
func (all Spans) Roots(trace string) Spans {
	there := map[string]bool{}
	for _, s := range all {
		if s.Trace == trace {
			there[s.Span] = true
		}
	}
	return all.those(func(s *Span) bool { return s.Trace == trace && !there[s.Parent] })
}

// Linked are the spans that a span is linked with, in both directions.
func (all Spans) Linked(with *Span) Spans {
	return all.those(func(s *Span) bool { return slices.Contains(with.Links, s.ID) && slices.Contains(s.Links, with.ID) })
}

// Elsewhere are the traces that spans are linked with and that are not among them.
func (all Spans) Elsewhere() []string {
	here := map[string]bool{}
	for _, s := range all {
		here[s.Trace] = true
	}
	var missing []string
	for _, s := range all {
		for _, link := range s.Links {
			if !here[link.Trace] {
				here[link.Trace] = true
				missing = append(missing, link.Trace)
			}
		}
	}
	return missing
}

func (all Spans) those(which func(*Span) bool) Spans {
	var found Spans
	for _, s := range all {
		if which(s) {
			found = append(found, s)
		}
	}
	return found
}
