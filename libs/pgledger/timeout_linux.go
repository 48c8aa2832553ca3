package pgledger

import "syscall"

// tcpUserTimeout is TCP_USER_TIMEOUT, which package syscall has no name for.
const tcpUserTimeout = 0x12

// userTimeout ends a connection on which what was sent is not acknowledged: keepalive does not look then.
func userTimeout(network, _ string, raw syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return nil
	}
	return raw.Control(func(fd uintptr) {
		// Without it a lost server is noticed later, by the deadline of whoever waits.
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(silence.Milliseconds()))
	})
}
