package reading

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/groupcommit"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/tracing"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
)

// shelf is a ballot and its fetches.
type shelf struct {
	name    string
	rules   atomic.Pointer[rules]
	passing atomic.Pointer[passing]
	fetches *groupcommit.Batcher[*read]
	last    atomic.Pointer[condition]
	log     *slog.Logger
}

// condition is where counts come from; no source where no store answers.
type condition struct {
	source queryv1.Source
	stale  bool
}

// read is one TallyRead on its way.
type read struct {
	shelf      *shelf
	span       trace.Span      // of the call that it came with
	names      []string        // empty: all
	token      *pgledger.Token // nil: none
	viewer     *queryv1.Viewer
	rightsOnly bool
	result     chan result
}

type result struct {
	counts  counts
	ranking func() *ranking // of a read of all names: made once for all who share the fetch
	err     error
}

func newShelf(row *rules, reader *Reader, cfg Config, log *slog.Logger) *shelf {
	s := &shelf{name: row.Name, log: log}
	s.rules.Store(row)
	s.fetches = groupcommit.New(
		groupcommit.Config{Workers: cfg.Workers, MaxBatch: maxFetch, MaxQueue: cfg.Queue},
		func(ctx context.Context, reads []*read) { s.fetch(ctx, reader, reads) },
	)
	return s
}

// learn takes over a row that was read later than the one that is known. Its callers don't overlap.
func (s *shelf) learn(row *rules) {
	if row.begun.After(s.rules.Load().begun) {
		s.rules.Store(row)
	}
}

// passed says that a closing time has come, and returns when that was noticed first.
func (s *shelf) passed(closes time.Time) time.Time {
	for {
		known := s.passing.Load()
		if known != nil && known.closes.Equal(closes) {
			return known.noticed
		}
		now := &passing{closes: closes, noticed: time.Now()}
		if s.passing.CompareAndSwap(known, now) {
			return now.noticed
		}
	}
}

// maxName is longer than any name that a ballot takes, in bytes.
const maxName = 256

// mayHold refuses names that can't have votes. On an open list only those that a store would choke on: one read must
// not fail those that share its fetch.
func (r *rules) mayHold(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool {
		return r.Candidates != nil && !slices.Contains(r.Candidates, name) || !nameable(name)
	})
}

// nameable refuses what no ballot calls a candidate.
func nameable(name string) bool { return len(name) <= maxName && storable(name) }

// storable refuses what a store would choke on.
func storable(name string) bool {
	return name != "" && utf8.ValidString(name) && !strings.ContainsRune(name, 0)
}

// maxAll bounds the names of an open list that can be read at once: a store that others need is busy for as long.
const maxAll = 10_000

// mayReadAll refuses lists that may be too long.
func (r *rules) mayReadAll() bool { return r.Candidates != nil || r.MaxCandidates <= maxAll }

// fetch answers many reads by one fetch of all names they ask for.
func (s *shelf) fetch(ctx context.Context, reader *Reader, reads []*read) {
	row := s.rules.Load()
	ctx, span := tracing.Batch(ctx, "fetch counts", "reads", reads, func(r *read) trace.Span { return r.span })
	defer span.End()
	c, err := reader.read(ctx, s.name, union(reads))
	showFetch(span, c, err)
	s.tell(ctx, c, err)
	index := indexed(c.list)
	ranked := sync.OnceValue(func() *ranking { return newRanking(row.pick(c.list, index, nil)) })
	for _, r := range reads {
		if err != nil {
			r.result <- result{err: err}
			continue
		}
		own := c
		own.list = row.pick(c.list, index, r.names)
		r.result <- result{counts: own, ranking: ranked}
	}
}

// showFetch says in a trace where counts come from.
func showFetch(span trace.Span, c counts, err error) {
	if !span.IsRecording() {
		return
	}
	if err != nil {
		tracing.Fail(span)
		return
	}
	span.SetAttributes(attribute.String("littlevote.source", sourceName(c.source)), attribute.Bool("littlevote.stale", c.stale))
}

// tell logs where counts come from, when that changes.
func (s *shelf) tell(ctx context.Context, c counts, err error) {
	now := condition{source: c.source, stale: c.stale}
	before := s.last.Swap(&now)
	switch {
	case before != nil && *before == now:
	case err != nil:
		s.log.WarnContext(ctx, "no store answers reads", "ballot", s.name, "error", err)
	case before != nil || c.stale:
		s.log.InfoContext(ctx, "counts come from", "ballot", s.name, "store", sourceName(c.source), "stale", c.stale)
	}
}

// union returns every name that is asked for, once; none if some read asks for all names.
func union(reads []*read) []string {
	var names []string
	seen := map[string]bool{}
	for _, one := range reads {
		if len(one.names) == 0 {
			return nil
		}
		for _, n := range one.names {
			if !seen[n] {
				seen[n] = true
				names = append(names, n)
			}
		}
	}
	return names
}

// indexed says where in a list each name stands.
func indexed(list []redisledger.Count) map[string]int {
	index := make(map[string]int, len(list))
	for i, count := range list {
		index[count.Name] = i
	}
	return index
}

// pick returns the counts of what a read of names means, out of a list that holds them. All of a closed list are its candidates, and
// who has been added to it since this row was read, and has votes.
func (r *rules) pick(list []redisledger.Count, index map[string]int, names []string) []redisledger.Count {
	switch {
	case len(names) > 0:
		return pick(list, index, names)
	case r.Candidates == nil:
		return list
	}
	all := pick(list, index, r.Candidates)
	known := make(map[string]bool, len(all))
	for _, n := range r.Candidates {
		known[n] = true
	}
	for _, c := range list {
		if !known[c.Name] {
			all = append(all, c)
		}
	}
	return all
}

func pick(list []redisledger.Count, index map[string]int, names []string) []redisledger.Count {
	out := make([]redisledger.Count, len(names))
	for i, n := range names {
		out[i] = redisledger.Count{Name: n}
		if at, ok := index[n]; ok {
			out[i] = list[at]
		}
	}
	return out
}
