package window

import (
	"fmt"
	"slices"
	"strings"
)

type act uint8

// Step is one step of a trace.
type Step struct {
	act act
	i   int8
	x   uint8
}

const (
	actNone act = iota
	actKeyV4
	actKeyV7
	actTick
	actEpoch
	actSends
	actTold
	actAsks
	actFree
	actUnknown
	actSame
	actAhead
	actAdmitted
	actCast
	actProduces
	actClaims
	actApplied
	numActs
)

var texts = [numActs]string{
	actKeyV4:    "the key tells no time",
	actKeyV7:    "the key tells minute {x}",
	actTick:     "it is minute {x}",
	actEpoch:    "epoch {x} begins",
	actSends:    "request {i} is sent",
	actTold:     "request {i} must look the key up",
	actAsks:     "request {i} asks how long the outbox waits",
	actFree:     "request {i} asks Postgres: the key is not there",
	actUnknown:  "request {i} asks Postgres, which is too far behind: unknown",
	actSame:     "request {i} is told that its key was used before",
	actAhead:    "request {i} is refused: its key is of the future",
	actAdmitted: "request {i} is admitted in Redis",
	actCast:     "request {i} counts in Postgres",
	actProduces: "the batch of request {i} is in the log, and settled",
	actClaims:   "the batch of request {i} is claimed, its key is remembered anew",
	actApplied:  "the persister applies the batch of request {i}",
}

// String tells the step as a sentence.
func (s Step) String() string {
	return strings.NewReplacer("{i}", string(rune('A'+s.i)), "{x}", fmt.Sprint(s.x)).Replace(texts[s.act])
}

// Rule is a rule that can be taken away.
type Rule uint8

// The rules by what happens without them; the names are those of libs/faultpoint, as far as they are there.
const (
	noFutureBound Rule = iota
	lookUpIgnoresLag
	aheadAdmitted
	notAnew
	forgetsSoon
	lookUpForEver
	numRules
)

// About describes a rule.
type About struct{ Name, Hole, What string }

// Rules is indexed by Rule.
var Rules = [numRules]About{
	noFutureBound:    {"no-future-bound", "H20", "a key from far ahead counts as young"},
	lookUpIgnoresLag: {"look-up-ignores-lag", "H21", "a key that Postgres does not know is new, however far behind Postgres is"},
	aheadAdmitted:    {"ahead-admitted", "H30", "a key from far ahead is admitted once it was looked up; later, when its time has come, it looks young"},
	notAnew:          {"not-anew", "H21", "a claimed batch's keys are not remembered anew"},
	forgetsSoon:      {"forgets-soon", "H20", "Redis remembers a key for less long than it is young"},
	lookUpForEver:    {"look-up-for-ever", "H28", "what was looked up holds for as long as the epoch"},
}

// ByName finds a rule.
func ByName(name string) (Rule, bool) {
	i := slices.IndexFunc(Rules[:], func(a About) bool { return a.Name == name })
	return Rule(max(i, 0)), i >= 0
}
