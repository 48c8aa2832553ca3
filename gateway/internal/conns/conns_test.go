package conns

import (
	"errors"
	"net"
	"net/netip"
	"testing"
)

// from is a connection of an address.
type from struct {
	net.Conn

	at     netip.Addr
	closed *bool
}

func (f from) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPortFrom(f.at, 1)) }
func (f from) Close() error         { *f.closed = true; return nil }

// queue is a listener with connections that wait.
type queue struct {
	net.Listener

	waiting []net.Conn
}

func (q *queue) Accept() (net.Conn, error) {
	if len(q.waiting) == 0 {
		return nil, errors.New("no more")
	}
	next := q.waiting[0]
	q.waiting = q.waiting[1:]
	return next, nil
}

func accept(t *testing.T, bound *Bound, addresses ...string) (got []net.Conn, closed int) {
	t.Helper()
	q, ends := &queue{}, make([]bool, len(addresses))
	for i, address := range addresses {
		q.waiting = append(q.waiting, from{at: netip.MustParseAddr(address), closed: &ends[i]})
	}
	on := bound.Listen(q)
	for {
		conn, err := on.Accept()
		if err != nil {
			break
		}
		got = append(got, conn)
	}
	for _, end := range ends {
		if end {
			closed++
		}
	}
	return got, closed
}

func TestAddressesAreBoundedOneByOne(t *testing.T) {
	bound := New(Config{Most: 100, PerAddress: 2, Free: func(at netip.Addr) bool { return at == netip.MustParseAddr("10.0.0.1") }})
	got, closed := accept(t, bound,
		"192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1", // the third one of it
		"192.0.2.2",
		"2001:db8::1", "2001:db8::2", "2001:db8::3", // one /64
		"2001:db8:0:1::1",
		"10.0.0.1", "10.0.0.1", "10.0.0.1",
	)
	if len(got) != 9 || closed != 2 || bound.Open() != 9 || bound.Refused() != 2 {
		t.Fatalf("%d are accepted, %d closed, %d open, %d refused", len(got), closed, bound.Open(), bound.Refused())
	}
	for _, conn := range got {
		_ = conn.Close()
		_ = conn.Close() // twice counts once
	}
	if bound.Open() != 0 || len(bound.of) != 0 {
		t.Errorf("%d are left, of %v", bound.Open(), bound.of)
	}
}

func TestListenersShareTheBound(t *testing.T) {
	bound := New(Config{Most: 3})
	one, _ := accept(t, bound, "192.0.2.1", "192.0.2.1")
	two, closed := accept(t, bound, "192.0.2.1", "192.0.2.2")
	if len(one) != 2 || len(two) != 1 || closed != 1 {
		t.Errorf("%d and %d, %d closed", len(one), len(two), closed)
	}
}
