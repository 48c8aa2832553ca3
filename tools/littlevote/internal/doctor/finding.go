package doctor

import (
	"fmt"
	"slices"
)

// Level is how bad a finding is.
type Level string

// The levels. Only the last two count for the exit code.
const (
	OK      Level = "ok"
	Note    Level = "note"    // worth knowing, and no harm
	Warning Level = "warning" // a promise is weaker than it might be, or soon will be
	Broken  Level = "broken"  // a promise is not kept, or votes are refused
)

// Finding is one thing that was looked at.
type Finding struct {
	Level    Level    `json:"level"`
	Area     string   `json:"area"`
	Check    string   `json:"check"` // its name for scripts
	What     string   `json:"what"`
	Why      string   `json:"why,omitempty"`
	Promises []string `json:"promises,omitempty"` // G1 to G13 of the README
	Mend     string   `json:"mend,omitempty"`     // a command or a setting
}

// list gathers the findings of an area.
type list struct {
	area string
	all  []Finding
}

func (l *list) ok(check, what string, args ...any) {
	l.all = append(l.all, Finding{Level: OK, Area: l.area, Check: check, What: fmt.Sprintf(what, args...)})
}

func (l *list) add(level Level, check, what, why, mend string, promises ...string) {
	l.all = append(l.all, Finding{Level: level, Area: l.area, Check: check, What: what, Why: why, Mend: mend, Promises: promises})
}

// unreachable is what is said of whoever does not answer.
func (l *list) unreachable(who string, err error, why, mend string, promises ...string) {
	l.add(Broken, "reach", fmt.Sprintf("%s does not answer: %v", who, err), why, mend, promises...)
}

// worst is the worst level of all.
func worst(findings []Finding) Level {
	order := []Level{OK, Note, Warning, Broken}
	level := OK
	for _, f := range findings {
		if slices.Index(order, f.Level) > slices.Index(order, level) {
			level = f.Level
		}
	}
	return level
}
