package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/littlevote/littlevote/tools/model/internal/explore"
	"github.com/littlevote/littlevote/tools/model/internal/protocol"
	"github.com/littlevote/littlevote/tools/model/internal/window"
)

// windowName: the model of package window has one scenario, named like the package.
const windowName = "window"

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "model:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("model", flag.ContinueOnError)
	var (
		scenario  = flags.String("scenario", "", "explore only this one (default: all)")
		without   = flags.String("without", "", "rules to take away, with commas between")
		maxStates = flags.Int("max-states", 2_000_000, "explore at most so many states of each scenario")
		list      = flags.Bool("list", false, "list scenarios and rules")
	)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *list {
		printList(out)
		return nil
	}
	var (
		rules       []protocol.Rule
		windowRules []window.Rule
	)
	for _, name := range strings.FieldsFunc(*without, func(r rune) bool { return r == ',' }) {
		r, ok := protocol.ByName(name)
		w, inWindow := window.ByName(name)
		switch {
		case ok:
			rules = append(rules, r)
		case inWindow:
			windowRules = append(windowRules, w)
		default:
			return fmt.Errorf("no rule %q", name)
		}
	}
	found, broken := false, 0
	for _, s := range protocol.Scenarios {
		if *scenario != "" && s.Name != *scenario {
			continue
		}
		found = true
		if !explored(out, s.Name, protocol.New(s, rules...), *maxStates) {
			broken++
		}
	}
	if *scenario == "" || *scenario == windowName {
		found = true
		if !explored(out, windowName, window.New(windowRules...), *maxStates) {
			broken++
		}
	}
	switch {
	case !found:
		return fmt.Errorf("no scenario %q", *scenario)
	case broken > 0:
		return fmt.Errorf("%d scenarios break a promise", broken)
	}
	return nil
}

// explored runs one scenario and tells the result; false if a promise is broken.
func explored[S, L comparable](out io.Writer, name string, m explore.Model[S, L], maxStates int) bool {
	start := time.Now()
	r := explore.Run(m, maxStates)
	end := "to the end"
	if !r.Complete {
		end = "cut short"
	}
	if r.Broken != "" {
		end = "BROKEN"
	}
	fmt.Fprintf(out, "%-14s %9d states, depth %3d, %7d at rest, %6.1f s, %s\n",
		name, r.States, r.Depth, r.Rests, time.Since(start).Seconds(), end)
	if r.Broken == "" {
		return true
	}
	fmt.Fprintf(out, "\n  %s, after\n\n", r.Broken)
	for i, step := range r.Trace {
		fmt.Fprintf(out, "  %3d. %v\n", i+1, step)
	}
	fmt.Fprintln(out)
	return false
}

func printList(out io.Writer) {
	fmt.Fprintln(out, "Scenarios:")
	for _, s := range protocol.Scenarios {
		fmt.Fprintf(out, "  %-14s %s\n", s.Name, s.What)
	}
	fmt.Fprintf(out, "  %-14s %s\n", windowName, "the life of a key in time: how long it is remembered, when it looks young, how far Postgres is behind")
	fmt.Fprintln(out, "\nRules that can be taken away:")
	for _, r := range protocol.Rules {
		fmt.Fprintf(out, "  %-28s %-4s %s\n", r.Name, r.Hole, r.What)
	}
	for _, r := range window.Rules {
		fmt.Fprintf(out, "  %-28s %-4s %s\n", r.Name, r.Hole, r.What)
	}
}
