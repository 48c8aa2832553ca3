//go:build unix && !linux

package process

import "syscall"

// endWithParent has nothing to set: only Linux has such a signal.
func endWithParent(*syscall.SysProcAttr) {}
