package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/littlevote/littlevote/tools/internal/votetrace"
)

const (
	queryTimeout = 10 * time.Second
	maxAnswer    = 64 << 20 // bytes
	// mostTraces bounds the traces that belong to one vote: a batch has links to other votes, which have others.
	mostTraces = 50
)

// query is Jaeger's query API.
type query struct{ url string }

// trace is one as the API has it.
type trace struct {
	Spans     []span `json:"spans"`
	Processes map[string]struct {
		ServiceName string `json:"serviceName"`
	} `json:"processes"`
}

type span struct {
	TraceID       string      `json:"traceID"`
	SpanID        string      `json:"spanID"`
	OperationName string      `json:"operationName"`
	ProcessID     string      `json:"processID"`
	References    []reference `json:"references"`
	StartTime     int64       `json:"startTime"` // microseconds
	Duration      int64       `json:"duration"`
	Tags          []tag       `json:"tags"`
}

// reference leads to the parent of a span, or, as one that it follows from, to a span that it is linked with.
type reference struct {
	RefType string `json:"refType"`
	TraceID string `json:"traceID"`
	SpanID  string `json:"spanID"`
}

type tag struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

// whole returns the spans of a trace, and of all that are linked with it.
func (q query) whole(ctx context.Context, id string) (votetrace.Spans, error) {
	var all []*votetrace.Span
	known := map[string]bool{}
	for next := []string{id}; len(next) > 0 && len(known) < mostTraces; {
		for _, one := range next {
			known[one] = true
			spans, err := q.trace(ctx, one)
			if err != nil {
				return nil, err
			}
			all = append(all, spans...)
		}
		next = nil
		for _, one := range votetrace.New(all).Elsewhere() {
			if !known[one] { // not here yet, or not sampled
				next = append(next, one)
			}
		}
	}
	return votetrace.New(all), nil
}

// trace returns the spans that Jaeger has of a trace: none, while none has come.
func (q query) trace(ctx context.Context, id string) ([]*votetrace.Span, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, q.url+"/api/traces/"+id, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotFound {
		return nil, nil
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the query API answers %s", response.Status)
	}
	var answer struct {
		Data []trace `json:"data"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("the query API: %w", err)
	}
	var spans []*votetrace.Span
	for _, one := range answer.Data {
		for _, s := range one.Spans {
			spans = append(spans, s.read(one.Processes[s.ProcessID].ServiceName))
		}
	}
	return spans, nil
}

func (s span) read(service string) *votetrace.Span {
	to := &votetrace.Span{
		ID: votetrace.ID{Trace: s.TraceID, Span: s.SpanID}, Service: service, Name: s.OperationName,
		Start: time.UnixMicro(s.StartTime), Took: time.Duration(s.Duration) * time.Microsecond, Attributes: map[string]string{},
	}
	for _, r := range s.References {
		if r.RefType == "CHILD_OF" && r.TraceID == s.TraceID && to.Parent == "" {
			to.Parent = r.SpanID
		} else {
			to.Links = append(to.Links, votetrace.ID{Trace: r.TraceID, Span: r.SpanID})
		}
	}
	for _, t := range s.Tags {
		to.Attributes[t.Key] = fmt.Sprint(t.Value)
	}
	to.Failed = to.Attributes["error"] == "true"
	return to
}
