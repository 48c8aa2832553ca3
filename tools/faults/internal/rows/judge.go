package rows

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/littlevote/littlevote/tools/faults/internal/load"
	"github.com/littlevote/littlevote/tools/faults/internal/results"
	"github.com/littlevote/littlevote/tools/internal/checker"
)

// convergence is how long everything may take after a fault until nothing is on its way.
const convergence = 30 * time.Second

// told is how many violations a verdict names.
const told = 5

// judge fills in the result of a run, when the crowd has stopped.
func (r *Run) judge(result *results.Run, patience float64) {
	var converged time.Duration
	var err error
	if !r.Row.Mortal {
		converged, err = r.settle(r.Context())
	}
	attempts, reads := r.count(result)
	stopped := r.stoppedAt
	result.Converged = converged
	if err == nil && !r.Row.Mortal {
		r.ledger, err = r.System.Read(r.Context(), r.System.Gateways[0])
		if err == nil && r.Readers != nil {
			r.ledger.Liked, r.ledger.Likes = r.Readers.Told(r)
		}
	}
	r.write("ledger.ndjson", r.ledger.Rows)
	r.write("tallies.ndjson", r.ledger.Tallies)
	r.write("tickets.ndjson", r.ledger.Tickets)
	switch {
	case r.Row.Mortal:
	case err != nil:
		result.Other++
		r.Errorf("%v", err)
	default:
		r.violations(result, checker.Check(attempts, r.ledger))
		if err := r.System.Fsck(r.Context()); err != nil {
			r.Errorf("%v", err)
		}
	}
	r.violations(result, r.readViolations(reads))
	r.refusals(attempts)
	if r.Row.Judge != nil {
		r.Row.Judge(r)
	}
	r.times(result, r.Crowd.History.Attempts(), stopped, patience)
	if n := r.Crowd.FailedReads(); n > 0 {
		r.Note("%d of %d reads refused", n, n+int64(len(reads)))
	}
}

// count writes down what the voters know, and counts it.
func (r *Run) count(result *results.Run) ([]checker.Attempt, []checker.Read) {
	r.judged = true
	attempts, reads := r.Crowd.History.Attempts(), r.Crowd.History.Reads()
	if r.People != nil {
		attempts = append(attempts, r.People.History.Attempts()...)
		result.Acked, result.Refused = r.People.History.Number(checker.Counted), r.People.History.Number(checker.None)
		result.Unknown = len(r.People.History.Unresolved())
	}
	if r.Readers != nil {
		attempts = append(attempts, r.Readers.History.Attempts()...)
		result.Acked += r.Readers.History.Number(checker.Counted)
		result.Refused += r.Readers.History.Number(checker.None)
		result.Unknown += len(r.Readers.History.Unresolved())
	}
	result.Acked += r.Crowd.Acknowledged()
	result.Refused += r.Crowd.History.Number(checker.None)
	result.Unknown += len(r.Crowd.History.Unresolved())
	for _, a := range attempts {
		if a.Outcome == checker.Unknown && !a.Keyed {
			result.Unknown++
		}
	}
	r.write("history.ndjson", attempts)
	r.write("reads.ndjson", reads)
	return attempts, reads
}

// refusals holds the codes against what was sent: every vote is a good one, so none may be called wrong. Only who is known may be
// told of a limit, and then the checker knows whether it was so.
func (r *Run) refusals(attempts []checker.Attempt) {
	wrong := map[string]int{}
	for _, a := range attempts {
		if a.Outcome != checker.None || a.Voter != "" && a.Code == "VOTER_LIMIT" {
			continue
		}
		switch a.Code {
		case "INVALID_ARGUMENT", "BALLOT_NOT_FOUND", "TICKET_INVALID", "KEY_REUSED", "VOTER_LIMIT", "UNAUTHENTICATED",
			"PERMISSION_DENIED", "INTERNAL", "BAD_USER_INPUT", "NOT_FOUND", "RATE_LIMITED", "InvalidArgument":
			wrong[a.Code]++
		}
	}
	for _, code := range slices.Sorted(maps.Keys(wrong)) {
		r.Errorf("%d good votes were refused with %s", wrong[code], code)
	}
}

// readViolations leaves out that a count fell where the fault had made it too high, and it was put right; and, where the version
// before answers some reads, what says that it is stale: there it may be too low, until a release with H37 is the one before.
func (r *Run) readViolations(reads []checker.Read) []checker.Violation {
	if r.before.Name != "" {
		reads = slices.DeleteFunc(reads, func(read checker.Read) bool { return read.Stale })
	}
	return slices.DeleteFunc(checker.CheckReads(reads), func(v checker.Violation) bool {
		return r.drifted && (v.Kind == checker.ReadFell || v.Kind == checker.ReadBehind)
	})
}

func (r *Run) violations(result *results.Run, found []checker.Violation) {
	for i, v := range found {
		switch v.Kind {
		case checker.Lost:
			result.Lost++
		case checker.Doubled:
			result.Double++
		case checker.OverCap, checker.OverLimit:
			result.OverCap++
		default:
			result.Other++
		}
		if i < told {
			r.Errorf("%s", v)
		}
	}
	if len(found) > told {
		r.Errorf("… and %d more", len(found)-told)
	}
}

// times judges how long voters had to wait. Nobody else's work on the machine is a fault of the system: patience stretches it.
func (r *Run) times(result *results.Run, attempts []checker.Attempt, stopped time.Time, patience float64) {
	during, after := load.Silence(attempts, r.faultAt, r.healAt), load.Silence(attempts, r.healAt, stopped)
	if r.Row.Closed {
		after = 0
	}
	result.Recovery = after
	if r.Row.Silence > 0 {
		result.Recovery = max(during, after)
	}
	for _, what := range r.slow {
		result.Verdict = results.Slow
		result.Why = append(result.Why, "not kept: "+what)
	}
	slow := func(what string, took, limit time.Duration) {
		if limit > 0 && took > time.Duration(float64(limit)*patience) {
			result.Verdict = results.Slow
			result.Why = append(result.Why, fmt.Sprintf("%s: %.1f s, the limit is %v", what, took.Seconds(), limit))
		}
	}
	slow("no vote acknowledged while the fault went on", during, r.Row.Silence)
	slow("no vote acknowledged after it", after, r.Row.back())
	slow("converged", result.Converged, convergence)
	r.Note("silent %.1f s during, %.1f s after; fault of %.1f s", during.Seconds(), after.Seconds(), r.healAt.Sub(r.faultAt).Seconds())
}

// write keeps evidence, a line for each.
func (r *Run) write(name string, values any) {
	var lines []byte
	text, err := json.Marshal(values)
	var all []json.RawMessage
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	for _, one := range all {
		lines = append(append(lines, one...), '\n')
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(r.Dir, name), lines, 0o644)
	}
	if err != nil {
		r.Errorf("write %s: %v", name, err)
	}
}
