package votetrace

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// shown are the attributes that people look for first, in this order.
func shown() []string {
	return []string{
		"littlevote.code", "littlevote.outcome", "littlevote.retries", "littlevote.attempts", "littlevote.queue_wait_ms", "littlevote.votes",
		"littlevote.records", "littlevote.lane", "littlevote.ledger", "littlevote.way", "http.response.status_code",
	}
}

// Print writes a trace as a tree, and in it, where a span is linked with another trace, that one too, each once.
func Print(w io.Writer, all Spans, trace string) error {
	p := printer{all: all, out: w, told: map[string]bool{trace: true}}
	for _, root := range all.Roots(trace) {
		p.print(root, "", "")
	}
	return p.err
}

type printer struct {
	all  Spans
	out  io.Writer
	told map[string]bool // traces
	err  error
}

// print writes a span after a mark, and what belongs to it below, indented.
func (p *printer) print(s *Span, indent, mark string) {
	line := fmt.Sprintf("%s%s%s", indent, mark, s.Name)
	if s.Failed {
		line += " FAILED"
	}
	if _, err := fmt.Fprintf(p.out, "%-78s %-13s %9s%s\n", line, s.Service, s.Took.Round(10*time.Microsecond), attributes(s)); err != nil {
		p.err = err
	}
	if mark != "" {
		indent += "   "
	}
	for _, child := range p.all.Below(s) {
		p.print(child, indent, "└─ ")
	}
	for _, link := range s.Links {
		if p.told[link.Trace] {
			continue
		}
		p.told[link.Trace] = true
		for _, root := range p.all.Roots(link.Trace) {
			p.print(root, indent, "⇄  ")
		}
	}
}

func attributes(s *Span) string {
	var text strings.Builder
	for _, key := range shown() {
		if value, ok := s.Attributes[key]; ok {
			fmt.Fprintf(&text, " %s=%s", strings.TrimPrefix(strings.TrimPrefix(key, "littlevote."), "http.response."), value)
		}
	}
	return text.String()
}
