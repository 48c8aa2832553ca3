// Package conns bounds connections, in all and of one address, so that nobody can hold them all by being slow. What is too much
// is closed as soon as it is accepted: it costs no goroutine, and no handshake.
package conns

import (
	"net"
	"net/netip"
	"sync"

	"github.com/littlevote/littlevote/gateway/internal/visit"
)

// Config bounds connections.
type Config struct {
	Most       int                      // at the same time
	PerAddress int                      // of them those of one address, an IPv6 /64 counting as one; 0: as many as there may be
	Free       func(at netip.Addr) bool // addresses that have no bound of their own, such as proxies
}

// Bound counts the connections of several listeners together. It is safe for concurrent use.
type Bound struct {
	cfg Config

	mu      sync.Mutex
	open    int
	of      map[netip.Prefix]int // only where there is a bound for each
	refused int64
}

// New returns a bound.
func New(cfg Config) *Bound { return &Bound{cfg: cfg, of: make(map[netip.Prefix]int)} }

// Refused is how many connections were closed because they were too many.
func (b *Bound) Refused() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refused
}

// Open is how many connections there are.
func (b *Bound) Open() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

// Listen returns a listener that accepts as many connections as there may be.
func (b *Bound) Listen(on net.Listener) net.Listener { return &listener{Listener: on, bound: b} }

type listener struct {
	net.Listener

	bound *Bound
}

// Accept waits for a connection that may be.
func (l *listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := l.bound.key(accepted)
		if !l.bound.enter(from) {
			_ = accepted.Close()
			continue
		}
		leave := sync.OnceFunc(func() { l.bound.leave(from) })
		if tcp, ok := accepted.(*net.TCPConn); ok {
			return &tcpConn{TCPConn: tcp, leave: leave}, nil
		}
		return &conn{Conn: accepted, leave: leave}, nil
	}
}

// key is whose connection it is; not valid where it counts for nobody.
func (b *Bound) key(accepted net.Conn) netip.Prefix {
	if b.cfg.PerAddress == 0 {
		return netip.Prefix{}
	}
	at := visit.Peer(accepted.RemoteAddr())
	if !at.IsValid() || b.cfg.Free(at) {
		return netip.Prefix{}
	}
	return visit.Host(at)
}

func (b *Bound) enter(from netip.Prefix) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open >= b.cfg.Most || from.IsValid() && b.of[from] >= b.cfg.PerAddress {
		b.refused++
		return false
	}
	b.open++
	if from.IsValid() {
		b.of[from]++
	}
	return true
}

func (b *Bound) leave(from netip.Prefix) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open--
	if !from.IsValid() {
		return
	}
	if b.of[from]--; b.of[from] == 0 {
		delete(b.of, from)
	}
}

// tcpConn keeps what a TCP connection can do beyond net.Conn.
type tcpConn struct {
	*net.TCPConn

	leave func()
}

// Close gives the place back.
func (c *tcpConn) Close() error {
	c.leave()
	return c.TCPConn.Close()
}

type conn struct {
	net.Conn

	leave func()
}

// Close gives the place back.
func (c *conn) Close() error {
	c.leave()
	return c.Conn.Close()
}
