package doctor

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// onTerminal says whether a person watches, who wants colours.
func onTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// paint is the colour of a level, as a terminal understands it.
func paint(level Level) string {
	return map[Level]string{OK: "\x1b[32m", Note: "\x1b[36m", Warning: "\x1b[33m", Broken: "\x1b[31;1m"}[level]
}

// printText prints a line for each finding, and below those that are not fine why that matters and how to mend it.
func printText(w io.Writer, found []Finding, colour bool) error {
	var text strings.Builder
	count := map[Level]int{}
	for _, f := range found {
		count[f.Level]++
		level := fmt.Sprintf("%-7s", f.Level)
		if colour {
			level = paint(f.Level) + level + "\x1b[0m"
		}
		fmt.Fprintf(&text, "%s  %-9s  %s\n", level, f.Area, f.What)
		why := f.Why
		if len(f.Promises) > 0 {
			why = strings.TrimSpace(fmt.Sprintf("%s (%s)", why, strings.Join(f.Promises, ", ")))
		}
		if why != "" {
			fmt.Fprintf(&text, "%20swhy:  %s\n", "", why)
		}
		if f.Mend != "" {
			fmt.Fprintf(&text, "%20smend: %s\n", "", f.Mend)
		}
	}
	switch worst(found) {
	case Broken, Warning:
		fmt.Fprintf(&text, "%d broken, %d warnings, %d notes\n", count[Broken], count[Warning], count[Note])
	case OK, Note:
		fmt.Fprintf(&text, "all is well\n")
	}
	_, err := io.WriteString(w, text.String())
	return err
}
