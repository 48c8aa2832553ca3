package process

import (
	"fmt"
	"syscall"

	"github.com/littlevote/littlevote/tools/internal/scope"
)

// Address reserves an address of the loopback for a process that says nothing of its port, and that comes back on the same
// one after it was killed. Until the scope ends nobody else gets it: a socket is bound to it that never listens. The kernel
// lets another bind there and listen if it asks by number and both have SO_REUSEADDR, as Go's listeners do.
func Address(t scope.Scope) string {
	t.Helper()
	fd, err := newSocket()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		t.Fatalf("the socket has the name %v", name)
	}
	return fmt.Sprintf("127.0.0.1:%d", address.Port)
}

// newSocket returns a socket that no program we start inherits.
func newSocket() (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	return fd, err
}
