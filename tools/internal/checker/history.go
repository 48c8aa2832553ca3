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
	Keyed    bool   // the voter gave the id, and may send the vote again
	Ballot   string
	Names    []string // of a retraction those that the vote was for
	Retracts string   // the vote that is taken back; empty for a vote
	Replaces string   // the vote that this one takes the place of; empty for any other
	Unlikes  bool     // takes back whichever vote of the voter counts for the one name
	Voter    string   // as authenticated; empty for nobody
	Ticket   string   // the version of the ticket it was sent with; empty for the newest
	Sent     time.Time
	Answered time.Time
	Outcome  Outcome
	Code     string
}

// body is what must be the same for two attempts to be one vote.
func (a Attempt) body() string {
	switch {
	case a.Unlikes:
		return bodyOf(unlike, "", a.Names)
	case a.Replaces != "":
		return bodyOf(change, a.Replaces, a.Names)
	case a.Retracts != "":
		return bodyOf(retraction, a.Retracts, a.Names)
	default:
		return bodyOf(vote, "", a.Names)
	}
}

// What an attempt asks for, and what an effect is. An effect is no unlike: the ledger says which vote it takes back.
const (
	vote       = ""
	retraction = "takes back "
	change     = "changes "
	unlike     = "unlikes"
)

func bodyOf(what, of string, names []string) string {
	return what + of + ":" + strings.Join(slices.Sorted(slices.Values(names)), ",")
}

// Read is one read of one count by one voter.
type Read struct {
	Session int // of the voter
	Ballot  string
	Name    string
	Sent    time.Time
	Votes   int64
	Stale   bool // it said that it may be
	// Acknowledged is how many votes for this candidate had been acknowledged to anybody when the read was sent.
	Acknowledged int64
	// Token is the consistency token that the read gave, and Least the count that came with it.
	Token string
	Least int64
}

// History is what the voters of a run wrote down, each attempt when it was over. It may be used by many at once.
type History struct {
	mu       sync.Mutex
	attempts []Attempt
	reads    []Read
	numbers  map[Outcome]int
	acked    map[candidate]int64
	ids      map[voteKey]bool // of votes that were acknowledged
}

type candidate struct{ ballot, name string }

// Add writes an attempt down.
func (h *History) Add(a Attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.attempts = append(h.attempts, a)
	if h.numbers == nil {
		h.numbers = map[Outcome]int{}
	}
	h.numbers[a.Outcome]++
	if a.Outcome != Counted || h.counted(a) || a.Unlikes {
		return
	}
	for _, name := range a.Names {
		h.acked[candidate{a.Ballot, name}]++
	}
}

// counted says whether the vote was acknowledged before, under the same key, and remembers that it is now.
func (h *History) counted(a Attempt) bool {
	if h.ids == nil {
		h.ids, h.acked = map[voteKey]bool{}, map[candidate]int64{}
	}
	k := voteKey{a.Ballot, a.ID}
	before := h.ids[k]
	h.ids[k] = true
	return before
}

// Acknowledged is how many votes for a candidate have been acknowledged so far; retractions are not taken off.
func (h *History) Acknowledged(ballot, name string) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.acked[candidate{ballot, name}]
}

// AddRead writes a read down.
func (h *History) AddRead(r Read) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reads = append(h.reads, r)
}

// Reads returns all reads so far, those of a session in their order.
func (h *History) Reads() []Read {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.reads)
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

// Unresolved returns the last attempt of each vote with a key that nobody was told the end of.
func (h *History) Unresolved() []Attempt {
	open := map[voteKey]Attempt{}
	attempts := h.Attempts()
	for _, a := range attempts {
		if a.Outcome == Unknown && a.Keyed {
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
