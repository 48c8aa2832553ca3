package cache

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// wire is a connection to a server that can be cut and healed.
type wire struct {
	url    string
	target string

	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

func newWire(t *testing.T, url string) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{url: "redis://" + listener.Addr().String(), target: strings.TrimPrefix(url, "redis://")}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			w.carry(conn)
		}
	})
	t.Cleanup(func() { _ = listener.Close(); w.cut(); wg.Wait() })
	return w
}

func (w *wire) carry(client net.Conn) {
	server, err := net.Dial("tcp", w.target)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil || w.down {
		_ = client.Close()
		if err == nil {
			_ = server.Close()
		}
		return
	}
	w.conns = append(w.conns, client, server)
	for _, pair := range [][2]net.Conn{{client, server}, {server, client}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1])
			_, _ = pair[0].Close(), pair[1].Close()
		}()
	}
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = true
	for _, conn := range w.conns {
		_ = conn.Close()
	}
	w.conns = nil
}

func (w *wire) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = false
}
