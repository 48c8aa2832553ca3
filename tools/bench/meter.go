package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/littlevote/littlevote/tools/bench/internal/load"
)

const (
	barWidth      = 20
	terminalEvery = 200 * time.Millisecond
	plainEvery    = 5 * time.Second
)

// meter shows how far the benchmark is: one line that changes on a terminal, a line now and then elsewhere.
type meter struct {
	w        io.Writer
	terminal bool
	steps    int
	step     int
}

func newMeter(w io.Writer, steps int) *meter {
	m := &meter{w: w, steps: steps}
	if file, ok := w.(*os.File); ok {
		info, err := file.Stat()
		m.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return m
}

func (m *meter) every() time.Duration {
	if m.terminal {
		return terminalEvery
	}
	return plainEvery
}

// say writes a line that stays.
func (m *meter) say(format string, args ...any) {
	m.clear()
	fmt.Fprintf(m.w, format+"\n", args...)
}

func (m *meter) clear() {
	if m.terminal {
		fmt.Fprint(m.w, "\r\x1b[K")
	}
}

// run begins the next step and gives what shows its progress.
func (m *meter) run(name string, total time.Duration) func(load.Progress) {
	m.step++
	var last load.Progress
	return func(now load.Progress) {
		perSecond := float64(now.Successes-last.Successes) / max(now.Elapsed-last.Elapsed, time.Millisecond).Seconds()
		last = now
		line := fmt.Sprintf("[%d/%d] %s %s %.0fs of %.0fs, %.0f successes/s, %d refused, %d failed", m.step, m.steps, name,
			bar(now.Elapsed, total), now.Elapsed.Seconds(), total.Seconds(), perSecond, now.Refused, now.Failed)
		if m.terminal {
			fmt.Fprintf(m.w, "\r%s\x1b[K", line)
		} else {
			fmt.Fprintln(m.w, line)
		}
	}
}

// ended says what a step came to.
func (m *meter) ended(name string, result load.Result) {
	m.say("[%d/%d] %s: %.0f successes/s, p99 %v, %d refused, %d failed", m.step, m.steps, name,
		result.PerSecond(), result.Latency.P99, load.Total(result.Refused), load.Total(result.Failed))
}

func bar(elapsed, total time.Duration) string {
	full := int(min(elapsed, total) * barWidth / total)
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "]"
}
