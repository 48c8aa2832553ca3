package service

import (
	"os"
	"runtime/debug"
)

// garbagePercent is how much garbage may stand beside what is in use before it is collected: requests leave a lot of
// the one and keep little of the other, so that at Go's 100 the collector takes a good part of the time.
const garbagePercent = 400

// TuneGarbage sets the collector up for a process that serves requests. GOGC in the environment goes before it.
func TuneGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}
