package load

import (
	"syscall"
	"time"
)

// Sleep is exact to some 60 µs, at the price of a thread.
func Sleep(d time.Duration) {
	interval := syscall.NsecToTimespec(d.Nanoseconds())
	_ = syscall.Nanosleep(&interval, nil) // an interrupted sleep is a short one, which callers have to expect
}
