package results

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// Line is all runs of one fault.
type Line struct {
	Fault, Title                      string
	Runs, Failed                      int
	Acked, Lost, Double, OverCap      int
	Recovery, Worst, Converged, Total time.Duration // median, worst, worst, sum of the time they took
}

// Sum makes a line for each fault, in the order of the names; a fault without runs has none. Only the runs at the commit count,
// or all if it is empty.
func Sum(runs []Run, commit string, names []string, titles map[string]string) []Line {
	var lines []Line
	for _, name := range names {
		line := Line{Fault: name, Title: titles[name]}
		var recoveries []time.Duration
		for _, r := range runs {
			if r.Fault != name || r.Verdict == Skipped || commit != "" && r.Commit != commit {
				continue
			}
			line.Runs++
			if r.Verdict == Failed {
				line.Failed++
			}
			line.Acked += r.Acked
			line.Lost += r.Lost
			line.Double += r.Double
			line.OverCap += r.OverCap
			line.Total += r.Took
			line.Converged = max(line.Converged, r.Converged)
			recoveries = append(recoveries, r.Recovery)
		}
		if line.Runs == 0 {
			continue
		}
		slices.Sort(recoveries)
		line.Recovery, line.Worst = recoveries[len(recoveries)/2], recoveries[len(recoveries)-1]
		lines = append(lines, line)
	}
	return lines
}

// Print writes the table as Markdown.
func Print(w io.Writer, lines []Line) error {
	_, err := fmt.Fprint(w, "| fault | what happens | runs | failed | acknowledged | lost | double | over cap | recovery: median, worst | converged, worst |\n"+
		"|---|---|---|---|---|---|---|---|---|---|\n")
	for _, l := range lines {
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "| %s | %s | %d | %d | %d | %d | %d | %d | %s, %s | %s |\n", l.Fault, l.Title, l.Runs, l.Failed, l.Acked,
			l.Lost, l.Double, l.OverCap, seconds(l.Recovery), seconds(l.Worst), seconds(l.Converged))
	}
	return err
}
