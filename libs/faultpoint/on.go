//go:build faults

package faultpoint

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Enabled says whether this binary was built for faults.
const Enabled = true

// exitCode is that of a process which a failpoint ended.
const exitCode = 86

// The variables.
const (
	failpointVariable = "LITTLEVOTE_FAILPOINT"
	mutantVariable    = "LITTLEVOTE_MUTANT"
	clockVariable     = "LITTLEVOTE_CLOCK_OFFSET"
)

type point struct {
	sleep time.Duration // 0: exit
	nth   int64         // at which time it acts; 0: each time
	seen  atomic.Int64
}

var (
	points = readPoints(os.Getenv(failpointVariable))
	mutant = readMutant(os.Getenv(mutantVariable))
	offset = readOffset(os.Getenv(clockVariable))
)

// Hit is a failpoint: a place at which a test may end or stop the process.
func Hit(name string) {
	p := points[name]
	if p == nil {
		return
	}
	if n := p.seen.Add(1); p.nth != 0 && n != p.nth {
		return
	}
	if p.sleep > 0 {
		time.Sleep(p.sleep)
		return
	}
	fmt.Fprintln(os.Stderr, "failpoint:", name)
	os.Exit(exitCode)
}

// Mutant says whether the rule of that name is left out.
func Mutant(name string) bool { return mutant == name }

// Now is the process's clock.
func Now() time.Time { return time.Now().Add(offset) }

// Variable says whether an environment variable is one of this package, and no setting.
func Variable(name string) bool {
	return name == failpointVariable || name == mutantVariable || name == clockVariable
}

func readPoints(text string) map[string]*point {
	points := map[string]*point{}
	for _, part := range strings.Split(text, ",") {
		if part == "" {
			continue
		}
		name, action, _ := strings.Cut(part, "=")
		what, arg, _ := strings.Cut(action, ":")
		p := &point{}
		var err error
		switch what {
		case "exit":
			if arg != "" {
				p.nth, err = strconv.ParseInt(arg, 10, 64)
			}
		case "sleep":
			p.sleep, err = time.ParseDuration(arg)
		default:
			err = fmt.Errorf("unknown action %q", what)
		}
		if err != nil {
			fatal(failpointVariable, part, err)
		}
		points[name] = p
	}
	return points
}

func readMutant(name string) string {
	if name != "" && !slices.ContainsFunc(Mutants, func(m Variant) bool { return m.Name == name }) {
		fatal(mutantVariable, name, fmt.Errorf("no such variant"))
	}
	return name
}

func readOffset(text string) time.Duration {
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		fatal(clockVariable, text, err)
	}
	return d
}

func fatal(key, value string, err error) {
	fmt.Fprintf(os.Stderr, "%s=%s: %v\n", key, value, err)
	os.Exit(2)
}
