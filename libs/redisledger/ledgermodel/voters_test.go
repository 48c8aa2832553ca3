package ledgermodel_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/redisledger"
)

func (p *play) hotVotes() func(context.Context, string, func(string, string, uuid.UUID) error) error {
	type vote struct {
		voter, candidate string
		id               uuid.UUID
	}
	var votes []vote
	for range p.rng.IntN(8) {
		v := vote{p.voter(), p.item(), p.newID(0)}
		votes = append(votes, v)
		p.votes = append(p.votes, v.id)
	}
	slices.SortFunc(votes, func(a, b vote) int {
		return cmp.Or(cmp.Compare(b.candidate, a.candidate), cmp.Compare(a.voter, b.voter))
	})
	enough := p.rng.IntN(20)
	return func(_ context.Context, from string, yield func(voter, candidate string, vote uuid.UUID) error) error {
		for i, v := range votes {
			if i == enough {
				return fmt.Errorf("no time: %w", redisledger.ErrNotAll)
			}
			if len(v.candidate) == 16 && v.candidate >= from {
				if err := yield(v.voter, v.candidate, v.id); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

func (p *play) item() string {
	if p.rng.IntN(4) == 0 {
		return p.name()
	}
	return redisledger.ItemID(p.start.Add(time.Duration(p.rng.IntN(8)-5)*time.Minute + 30*time.Second))
}

func (p *play) target(e *redisledger.Entry, b *redisledger.Batch) {
	e.Voter, e.Retracts = p.voter(), p.someVote()
	if len(p.cast) == 0 || p.rng.IntN(6) == 0 {
		return
	}
	c := p.cast[max(0, len(p.cast)-1-p.rng.IntN(8))]
	if len(b.Entries) > 0 && b.Ballot != c.ballot {
		return
	}
	b.Ballot = c.ballot
	e.Voter, e.Candidate, e.Retracts = c.entry.Voter, c.entry.Candidate, c.entry.VoteID
	e.Period = redisledger.PeriodOf(c.at, p.period)
}

func (p *play) someVote() uuid.UUID {
	if len(p.votes) == 0 || p.rng.IntN(10) == 0 {
		return p.newID(0)
	}
	return p.votes[max(0, len(p.votes)-1-p.rng.IntN(20))]
}

func (p *play) somePeriod() int64 {
	return redisledger.PeriodOf(p.s.modelAt(), p.period) - max(0, p.rng.Int64N(5)-3)
}

func (p *play) voter() string { return fmt.Sprintf("voter %d", p.rng.IntN(4)) }

func (p *play) voters() {
	f, name, voter, one := p.any(), p.ballot(), p.voter(), p.item()
	if len(p.cast) > 0 && p.rng.IntN(2) == 0 {
		c := p.cast[max(0, len(p.cast)-1-p.rng.IntN(8))]
		name, voter, one = c.ballot, c.entry.Voter, c.entry.Candidate
	}
	candidates := []string{p.item(), p.item(), one}[p.rng.IntN(4):]
	each(p, fmt.Sprintf("voted %s by %s for %q", name, voter, candidates), func(l ledger) any {
		v, err := l.Voted(p.t.Context(), f, name, voter, candidates)
		return []any{v, err}
	})
	each(p, fmt.Sprintf("state %s of %s for %s", name, voter, one), func(l ledger) any {
		s, err := l.VoterState(p.t.Context(), f, name, voter, one)
		return []any{s, err}
	})
}

func (p *play) evict() {
	f, name := p.any(), p.ballot()
	found := each(p, "cold "+name, func(l ledger) any {
		var all []redisledger.ColdVoter
		for cursor := uint64(0); ; {
			cold, next, err := l.ColdVoters(p.t.Context(), f, name, cursor, 100)
			if err != nil {
				return []any{all, err}
			}
			all = append(all, cold...)
			if cursor = next; cursor == 0 {
				return []any{sortCold(all), nil}
			}
		}
	})
	cold, _ := found[0].([]any)[0].([]redisledger.ColdVoter)
	if len(cold) > 0 && p.rng.IntN(3) == 0 {
		cold[0].Batch = p.newID(-2 * redisledger.ClockBound)
	}
	each(p, "evict "+name, func(l ledger) any {
		n, err := l.EvictVoters(p.t.Context(), f, name, cold)
		return []any{n, err}
	})
}

func (p *play) setCounts() {
	f, name := p.any(), p.ballot()
	if p.rng.IntN(2) == 0 {
		b := p.someRules(name)
		b.State = "closed"
		each(p, "close "+name, func(l ledger) error { return l.PutRules(p.t.Context(), f, b) })
	}
	counts := []redisledger.Count{{Name: "a", Votes: p.rng.Int64N(9), UpdatedAt: time.UnixMilli(7)}, {Name: "new", Votes: 1, UpdatedAt: time.UnixMilli(8)}}
	counts = counts[p.rng.IntN(3):]
	cut, _ := p.on[1].Cut(p.t.Context(), f, name)
	admissions := cut.Admissions + p.rng.Int64N(4) - 1
	each(p, "set counts "+name, func(l ledger) error { return l.SetCounts(p.t.Context(), f, name, admissions, counts) })
	p.look(name)
}
