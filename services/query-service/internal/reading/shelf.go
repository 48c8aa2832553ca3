package reading

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/littlevote/littlevote/libs/groupcommit"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
)

// shelf is a ballot and its fetches.
type shelf struct {
	rules   pgledger.Ballot
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
	shelf  *shelf
	names  []string        // empty: all
	token  *pgledger.Token // nil: none
	result chan result
}

type result struct {
	counts counts
	err    error
}

func newShelf(rules pgledger.Ballot, reader *Reader, cfg Config, log *slog.Logger) *shelf {
	s := &shelf{rules: rules, log: log}
	s.fetches = groupcommit.New(
		groupcommit.Config{Workers: cfg.Workers, MaxBatch: maxFetch, MaxQueue: cfg.Queue},
		func(ctx context.Context, reads []*read) { s.fetch(ctx, reader, reads) },
	)
	return s
}

// maxName is longer than any name that a ballot takes, in bytes.
const maxName = 256

// mayHold refuses names that can't have votes. On an open list only those that a store would choke on: one read must
// not fail those that share its fetch.
func (s *shelf) mayHold(name string) bool {
	if s.rules.Candidates != nil {
		return slices.Contains(s.rules.Candidates, name)
	}
	return name != "" && len(name) <= maxName && utf8.ValidString(name) && !strings.ContainsRune(name, 0)
}

// fetch answers many reads by one fetch of all names they ask for.
func (s *shelf) fetch(ctx context.Context, reader *Reader, reads []*read) {
	names := s.union(reads)
	c, err := reader.read(ctx, s.rules.Name, names)
	s.tell(ctx, c, err)
	index := map[string]int{}
	for i, count := range c.list {
		index[count.Name] = i
	}
	for _, r := range reads {
		if err != nil {
			r.result <- result{err: err}
			continue
		}
		own := c
		if asked := s.asked(r.names); len(asked) > 0 {
			own.list = pick(c.list, index, asked)
		}
		r.result <- result{counts: own}
	}
}

// tell logs where counts come from, when that changes.
func (s *shelf) tell(ctx context.Context, c counts, err error) {
	now := condition{source: c.source, stale: c.stale}
	before := s.last.Swap(&now)
	switch {
	case before != nil && *before == now:
	case err != nil:
		s.log.WarnContext(ctx, "no store answers reads", "ballot", s.rules.Name, "error", err)
	case before != nil || c.stale:
		s.log.InfoContext(ctx, "counts come from", "ballot", s.rules.Name, "store", sourceName(c.source), "stale", c.stale)
	}
}

// asked returns the names that a read of names means; a closed list knows all of its own.
func (s *shelf) asked(names []string) []string {
	if len(names) == 0 {
		return s.rules.Candidates
	}
	return names
}

// union returns every name that is asked for, once; none if some read asks for all names of an open list.
func (s *shelf) union(reads []*read) []string {
	var names []string
	seen := map[string]bool{}
	for _, r := range reads {
		asked := s.asked(r.names)
		if len(asked) == 0 {
			return nil
		}
		for _, n := range asked {
			if !seen[n] {
				seen[n] = true
				names = append(names, n)
			}
		}
	}
	return names
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
