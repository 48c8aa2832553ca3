//go:build unix && !linux

package embedded

import "syscall"

// setDeathSignal has nothing to set: only Linux has such a signal. A server that is left behind is stopped by the next
// start on its data.
func setDeathSignal(*syscall.SysProcAttr, syscall.Signal) {}
