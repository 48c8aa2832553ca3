package load

import (
	"slices"
	"time"

	"github.com/littlevote/littlevote/tools/internal/checker"
)

// Silence is the longest time between from and to in which no vote was acknowledged that was sent after from.
func Silence(attempts []checker.Attempt, from, to time.Time) time.Duration {
	moments := []time.Time{from, to}
	for _, a := range attempts {
		if a.Outcome == checker.Counted && a.Sent.After(from) && a.Answered.Before(to) {
			moments = append(moments, a.Answered)
		}
	}
	slices.SortFunc(moments, time.Time.Compare)
	longest := time.Duration(0)
	for i, m := range moments[1:] {
		longest = max(longest, m.Sub(moments[i]))
	}
	return longest
}

// Between counts the votes with an outcome that were sent and answered between from and to: one that was sent before the end of
// an outage may well succeed after it.
func Between(attempts []checker.Attempt, outcome checker.Outcome, from, to time.Time) int {
	n := 0
	for _, a := range attempts {
		if a.Outcome == outcome && a.Sent.After(from) && a.Answered.Before(to) {
			n++
		}
	}
	return n
}
