//go:build !linux

package pgledger

import "syscall"

// userTimeout does nothing: a lost server is noticed by the deadline of whoever waits.
func userTimeout(string, string, syscall.RawConn) error { return nil }
