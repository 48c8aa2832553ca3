//go:build !linux

package load

import "time"

// Sleep is as exact as the runtime.
func Sleep(d time.Duration) { time.Sleep(d) }
