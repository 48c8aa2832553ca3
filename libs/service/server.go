package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

const (
	headerTimeout = 5 * time.Second
	idleTimeout   = 2 * time.Minute
	// drainTimeout leaves an orchestrator that kills after ten seconds two for the rest of the shutdown.
	drainTimeout   = 8 * time.Second
	maxHeaderBytes = 64 << 10
	// maxStreams is per connection; callers inside send many votes in one call, so this is far away.
	maxStreams   = 1000
	pingAfter    = 30 * time.Second
	pingTimeout  = 15 * time.Second
	writeTimeout = 30 * time.Second // without one byte taken by the client
)

// server is an HTTP server on its listener.
type server struct {
	listener net.Listener
	http     *http.Server
	abort    context.CancelFunc // ends the contexts of all requests
	finish   context.CancelFunc // ends the contexts of endless requests
}

// newServer listens at once. Without certificates both HTTP/1.1 and HTTP/2 are plaintext. handler is called once, with a
// context that ends when draining begins, for requests that would not end by themselves.
func newServer(listen string, secure *tls.Config, handler func(draining context.Context) http.Handler) (*server, error) {
	listener, err := net.Listen("tcp", listen) //nolint:noctx // Binding a port does not block.
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	base, abort := context.WithCancel(context.Background())
	draining, finish := context.WithCancel(base)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(secure == nil)
	return &server{
		listener: listener,
		abort:    abort,
		finish:   finish,
		http: &http.Server{
			Handler:           handler(draining),
			TLSConfig:         secure,
			Protocols:         protocols,
			BaseContext:       func(net.Listener) context.Context { return base },
			ReadHeaderTimeout: headerTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			HTTP2: &http.HTTP2Config{
				MaxConcurrentStreams: maxStreams,
				SendPingTimeout:      pingAfter,
				PingTimeout:          pingTimeout,
				WriteByteTimeout:     writeTimeout,
			},
		},
	}, nil
}

// run serves until ctx ends, calls drain, and waits for the requests in flight.
func (s *server) run(ctx context.Context, drain func()) error {
	defer s.abort()
	served := make(chan error, 1)
	go func() { served <- s.serve() }()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", s.addr(), err)
	case <-ctx.Done():
	}
	drain()
	s.finish()
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err := s.http.Shutdown(limit)
	if err != nil {
		s.abort()
		err = errors.Join(fmt.Errorf("drain %s: %w", s.addr(), err), s.http.Close())
	}
	<-served
	return err
}

func (s *server) serve() error {
	if s.http.TLSConfig != nil {
		return s.http.ServeTLS(s.listener, "", "")
	}
	return s.http.Serve(s.listener)
}

func (s *server) addr() string { return s.listener.Addr().String() }

// close gives the port back if run was never called.
func (s *server) close() error {
	s.abort()
	return s.listener.Close()
}
