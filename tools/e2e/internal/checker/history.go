package checker

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// Outcome is what a client was told.
type Outcome string

// The three answers that there are.
const (
	Counted Outcome = "COUNTED"
	None    Outcome = "NONE" // a definite refusal, or nothing was ever sent
	Unknown Outcome = "UNKNOWN"
)

// Attempt is one request of one voter. A vote that is sent again is another attempt under the same id.
type Attempt struct {
	ID       string // the vote's id: its idempotency key, or what the answer said; empty where neither is known
	Ballot   string
	Names    []string
	Ticket   string // the version of the ticket it was sent with; empty for the newest
	Sent     time.Time
	Answered time.Time
	Outcome  Outcome
	Code     string
}

// body is what must be the same for two attempts to be one vote.
func (a Attempt) body() string { return bodyOf(a.Names) }

func bodyOf(names []string) string {
	return strings.Join(slices.Sorted(slices.Values(names)), ",")
}

// History is what the voters of a run wrote down, each attempt when it was over. It may be used by many at once.
type History struct {
	mu       sync.Mutex
	attempts []Attempt
	numbers  map[Outcome]int
}

// Add writes an attempt down.
func (h *History) Add(a Attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.attempts = append(h.attempts, a)
	if h.numbers == nil {
		h.numbers = map[Outcome]int{}
	}
	h.numbers[a.Outcome]++
}

// Attempts returns all so far.
func (h *History) Attempts() []Attempt {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.attempts)
}

// Number counts the attempts with an outcome.
func (h *History) Number(outcome Outcome) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.numbers[outcome]
}

// Unresolved returns the last attempt of each vote that nobody was told the end of.
func (h *History) Unresolved() []Attempt {
	open := map[voteKey]Attempt{}
	attempts := h.Attempts()
	for _, a := range attempts {
		if a.Outcome == Unknown {
			open[voteKey{a.Ballot, a.ID}] = a
		}
	}
	for _, a := range attempts {
		if a.Outcome == Counted {
			delete(open, voteKey{a.Ballot, a.ID})
		}
	}
	left := make([]Attempt, 0, len(open))
	for _, a := range open {
		left = append(left, a)
	}
	return left
}
