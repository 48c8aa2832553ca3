package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
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

// Server is an HTTP server on one port, for HTTP/1.1 and HTTP/2, with TLS or in plaintext. It bounds headers and idle
// connections; how long a request may take is its handler's business.
type Server struct {
	listener net.Listener
	http     *http.Server
	health   *Health
	tls      *TLS
	abort    context.CancelFunc // ends the contexts of all requests
	finish   context.CancelFunc // ends the context that handlers got
	patience time.Duration      // for requests in flight when draining begins
}

// NewServer listens at once, so that Addr is known; nothing is answered before Run. It calls handler once, with a context that
// ends when draining begins, for streams that would not end by themselves.
func NewServer(
	listen string, with *TLS, health *Health, handler func(draining context.Context) http.Handler,
) (*Server, error) {
	secure, err := with.server()
	if err != nil {
		return nil, err
	}
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
	return &Server{
		listener: listener,
		health:   health,
		tls:      with,
		abort:    abort,
		finish:   finish,
		patience: drainTimeout,
		http: &http.Server{
			Handler:           with.renew(handler(draining)),
			TLSConfig:         secure,
			ConnContext:       with.connection,
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

// Addr is the address it listens on, with the port in numbers.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Run serves until ctx ends, then makes health not ready and waits at most 8 s for requests in flight; an error then says that
// some were cut off. It is called once.
func (s *Server) Run(ctx context.Context) error {
	defer s.abort()
	var watch sync.WaitGroup
	defer watch.Wait()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	watch.Go(func() { _ = s.tls.Run(watching) }) // nil
	served := make(chan error, 1)
	go func() { served <- s.serve() }()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	s.health.Drain()
	s.finish()
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.patience)
	defer cancel()
	err := s.http.Shutdown(limit)
	if err != nil {
		s.abort()
		err = errors.Join(fmt.Errorf("drain %s: %w", s.Addr(), err), s.http.Close())
	}
	<-served
	return err
}

func (s *Server) serve() error {
	if s.http.TLSConfig != nil {
		return s.http.ServeTLS(s.listener, "", "")
	}
	return s.http.Serve(s.listener)
}

// Close gives the port back where Run is not going to be called.
func (s *Server) Close() error {
	s.abort()
	return s.listener.Close()
}
