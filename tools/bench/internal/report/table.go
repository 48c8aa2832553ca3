package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/littlevote/littlevote/tools/bench/internal/load"
)

// WriteTable writes the report for people.
func (r Report) WriteTable(w io.Writer) error {
	var text strings.Builder
	r.heading(&text)
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "operation\tside\tsuccesses/s\tratio\tp50\tp90\tp99\tp99.9\tmax\trefused\tfailed\tunsent\tgenerator\t")
	for _, operation := range r.Operations {
		row(table, operation.Name, "floor", operation.Floor, "")
		ratio := ""
		if operation.Ratio > 0 {
			ratio = fmt.Sprintf("%.2f", operation.Ratio)
		}
		row(table, operation.Name, "system", operation.System, ratio)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(&text, "Latencies are those of successes. generator: the load generator's share of the machine's processor time.")
	for _, operation := range r.Operations {
		outcomes(&text, operation)
		verification(&text, operation)
	}
	for _, note := range r.Notes {
		fmt.Fprintln(&text, "Note:", note)
	}
	r.verdict(&text)
	_, err := io.WriteString(w, text.String())
	return err
}

func (r Report) heading(w io.Writer) {
	loop := "closed loop"
	if r.Settings.RatePerSecond > 0 {
		loop = fmt.Sprintf("open loop at %s/s, latencies from when each request was due", thousands(r.Settings.RatePerSecond))
	}
	fmt.Fprintf(w, "%s  %s\n", r.Date.Format("2006-01-02 15:04:05 MST"), r.Command)
	fmt.Fprintf(w, "%s, %d cores shared by load generator, floor and system, %s, %s\n",
		r.Machine.Processor, r.Machine.Cores, r.Machine.Platform, r.Machine.Go)
	fmt.Fprintf(w, "%s, %d connections, %gs after %gs of warm-up, %d names a vote", loop, r.Settings.Connections,
		r.Settings.DurationSeconds, r.Settings.WarmUpSeconds, r.Settings.NamesPerVote)
	if r.Settings.Target != "" {
		fmt.Fprintf(w, ", %s", r.Settings.Target)
	}
	fmt.Fprint(w, "\n\n")
}

func row(w io.Writer, name, side string, m *Measured, ratio string) {
	if m == nil {
		return
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t", name, side, thousands(m.PerSecond), ratio)
	for _, latency := range []float64{m.LatencyMs.P50, m.LatencyMs.P90, m.LatencyMs.P99, m.LatencyMs.P999, m.LatencyMs.Max} {
		fmt.Fprintf(w, "%s\t", latencyText(latency))
	}
	fmt.Fprintf(w, "%d\t%d\t%d\t%.0f%%\t\n", load.Total(m.Refused), load.Total(m.Failed), m.Unsent, 100*m.GeneratorShare)
}

// outcomes names the refusals and failures of an operation.
func outcomes(w io.Writer, operation Operation) {
	for _, side := range []struct {
		name     string
		measured *Measured
	}{{"floor", operation.Floor}, {"system", operation.System}} {
		if side.measured == nil {
			continue
		}
		if text := list(side.measured.Refused); text != "" {
			fmt.Fprintf(w, "%s, %s, refused: %s\n", operation.Name, side.name, text)
		}
		if text := list(side.measured.Failed); text != "" {
			fmt.Fprintf(w, "%s, %s, failed: %s\n", operation.Name, side.name, text)
		}
	}
}

func list(counts map[string]int64) string {
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", code, counts[code]))
	}
	return strings.Join(parts, ", ")
}

func verification(w io.Writer, operation Operation) {
	v := operation.Verification
	if v == nil {
		return
	}
	fmt.Fprintf(w, "%s, counts: %d votes acknowledged so far, %d of unknown outcome\n", operation.Name, v.Acknowledged, v.Unknown)
	for _, check := range v.Checks {
		if check.Agreed {
			fmt.Fprintf(w, "  %-16s agrees, %.2fs after the run\n", check.Source, check.AfterSeconds)
		} else {
			fmt.Fprintf(w, "  %-16s WRONG after %.2fs: %s\n", check.Source, check.AfterSeconds, check.Problem)
		}
	}
	if v.LagHighestSeconds != nil {
		fmt.Fprintf(w, "  Postgres was at most %.2fs behind during the run\n", *v.LagHighestSeconds)
	}
}

func (r Report) verdict(w io.Writer) {
	if r.Interrupted {
		fmt.Fprintln(w, "Interrupted: the last figures are those of a shorter run.")
	}
	voted := slices.ContainsFunc(r.Operations, func(o Operation) bool { return o.Verification != nil })
	switch {
	case !r.Verified:
		fmt.Fprintln(w, "VERIFICATION FAILED: the counts are not what the voters were told.")
	case voted:
		fmt.Fprintln(w, "Verified: every acknowledged vote counts exactly once.")
	}
}

// thousands writes a rate with separators.
func thousands(rate float64) string {
	if rate < 100 {
		return fmt.Sprintf("%.1f", rate)
	}
	digits := fmt.Sprintf("%.0f", rate)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func latencyText(ms float64) string {
	switch {
	case ms < 1:
		return fmt.Sprintf("%.0fµs", ms*1000)
	case ms < 100:
		return fmt.Sprintf("%.1fms", ms)
	case ms < 10000:
		return fmt.Sprintf("%.0fms", ms)
	default:
		return fmt.Sprintf("%.1fs", ms/1000)
	}
}
