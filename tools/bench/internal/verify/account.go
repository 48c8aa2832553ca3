package verify

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/littlevote/littlevote/tools/bench/internal/operation"
)

// Counts holds votes by candidate.
type Counts map[string]int64

// Total adds up all candidates.
func (c Counts) Total() int64 {
	var sum int64
	for _, votes := range c {
		sum += votes
	}
	return sum
}

// Account is what the voters were told, kept by all of them at once.
type Account struct {
	names        int // candidates in each vote
	acknowledged [operation.Candidates]atomic.Int64
	unknown      [operation.Candidates]atomic.Int64
}

// NewAccount makes the account of votes that name so many candidates each.
func NewAccount(names int) *Account { return &Account{names: names} }

// Add enters the answer to a vote of variant v.
func (a *Account) Add(v int, answer operation.Answer) {
	switch {
	case answer.Kind == operation.Success:
		a.acknowledged[v].Add(1)
	case answer.Unknown:
		a.unknown[v].Add(1)
	}
}

// Acknowledged is the number of votes that must count: successes times names.
func (a *Account) Acknowledged() int64 { return a.sum(&a.acknowledged) }

// Unknown is the number of votes that may count besides.
func (a *Account) Unknown() int64 { return a.sum(&a.unknown) }

func (a *Account) sum(variants *[operation.Candidates]atomic.Int64) int64 {
	var sum int64
	for v := range variants {
		sum += variants[v].Load()
	}
	return sum * int64(a.names)
}

// bounds is how far a candidate's count may and must have grown.
type bounds struct{ least, most int64 }

func (a *Account) bounds() map[string]bounds {
	all := map[string]bounds{}
	for v := range operation.Candidates {
		acknowledged, unknown := a.acknowledged[v].Load(), a.unknown[v].Load()
		for _, name := range operation.Names(v, a.names) {
			b := all[name]
			all[name] = bounds{b.least + acknowledged, b.most + acknowledged + unknown}
		}
	}
	return all
}

// Check compares the growth of counts with the account. It gives nil if all is well.
func (a *Account) Check(before, after Counts) error {
	expected := a.bounds()
	for _, counts := range []Counts{before, after} {
		for name := range counts {
			if _, ok := expected[name]; !ok {
				expected[name] = bounds{} // nobody voted for it: no growth
			}
		}
	}
	var wrong []string
	for name, b := range expected {
		grown := after[name] - before[name]
		switch {
		case grown < b.least:
			wrong = append(wrong, fmt.Sprintf("%s grew by %d, of %d acknowledged", name, grown, b.least))
		case grown > b.most:
			wrong = append(wrong, fmt.Sprintf("%s grew by %d, more than %d acknowledged and %d unknown", name, grown, b.least, b.most-b.least))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	shown := wrong[:min(len(wrong), 4)]
	return fmt.Errorf("in total %+d, acknowledged %d, unknown %d; %d candidates are wrong: %s",
		after.Total()-before.Total(), a.Acknowledged(), a.Unknown(), len(wrong), strings.Join(shown, "; "))
}
