package measure

import (
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
)

// maxBallots is how many ballots a process tells apart; the series of each are there for as long as the process is.
const maxBallots = 100

// What stands in the place of a name.
const (
	ofTenants = "(tenants)" // all ballots of tenants: they choose names as they like, and as many
	ofOthers  = "(others)"  // those that came after too many others
)

// Ballots gives ballots the label by which metrics tell them apart. The zero value is ready, and safe for concurrent use.
type Ballots struct {
	mu    sync.Mutex
	known map[string]bool
}

// Of is the value of the label "ballot".
func (b *Ballots) Of(name string) string {
	if strings.Contains(name, ".") {
		return ofTenants
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known[name] {
		return name
	}
	if len(b.known) >= maxBallots {
		return ofOthers
	}
	if b.known == nil {
		b.known = map[string]bool{}
	}
	b.known[name] = true
	return name
}

// Label is the label "ballot".
func (b *Ballots) Label(name string) attribute.KeyValue {
	return attribute.String("ballot", b.Of(name))
}
