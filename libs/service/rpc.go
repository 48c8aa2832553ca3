package service

import (
	"context"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"

	"github.com/littlevote/littlevote/libs/config"
)

// Mount is one RPC service: what a generated New…Handler function returns, and the name of the service.
type Mount struct {
	Name    string // fully qualified, such as "littlevote.vote.v1.VoteService"
	Path    string // "/" + Name + "/"
	Handler http.Handler
}

// RPC serves gRPC, gRPC-Web and Connect on one port, with or without TLS, and beside the mounted services gRPC health, gRPC
// reflection and the probes.
type RPC struct {
	server *server
	health *Health
}

// NewRPC listens at once, so that Addr is known; nothing is answered before Run.
func NewRPC(listen string, files config.TLS, health *Health, mounts ...Mount) (*RPC, error) {
	secure, err := serverTLS(files)
	if err != nil {
		return nil, err
	}
	server, err := newServer(listen, secure, func(draining context.Context) http.Handler {
		return rpcMux(draining, health, mounts)
	})
	if err != nil {
		return nil, err
	}
	return &RPC{server: server, health: health}, nil
}

// Addr is the address it listens on, with the port in numbers.
func (r *RPC) Addr() string { return r.server.addr() }

// Run serves until ctx ends, then makes health not ready and waits at most 8 s for calls in flight. It is called once.
func (r *RPC) Run(ctx context.Context) error { return r.server.run(ctx, r.health.Drain) }

// Close gives the port back where Run is not going to be called.
func (r *RPC) Close() error { return r.server.close() }

func rpcMux(draining context.Context, health *Health, mounts []Mount) http.Handler {
	mux := http.NewServeMux()
	names := make(map[string]bool, len(mounts))
	reflected := []string{grpchealth.HealthV1ServiceName}
	for _, mount := range mounts {
		mux.Handle(mount.Path, limitBody(mount.Handler))
		names[mount.Name] = true
		reflected = append(reflected, mount.Name)
	}
	limit := connect.WithReadMaxBytes(readLimit)
	path, handler := grpchealth.NewHandler(grpcHealth{health: health, names: names}, limit)
	mux.Handle(path, limitBody(handler))
	reflector := grpcreflect.NewStaticReflector(reflected...)
	path, handler = grpcreflect.NewHandlerV1(reflector, limit)
	mux.Handle(path, endWith(draining, handler))
	path, handler = grpcreflect.NewHandlerV1Alpha(reflector, limit)
	mux.Handle(path, endWith(draining, handler))
	mountProbes(mux, health.Probes())
	return mux
}

// limitBody bounds the time in which a request must have arrived whole. A Connect handler reads the message before any
// interceptor runs, so without this a client that sends a byte a minute would hold a goroutine for ever.
func limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Every server of ours can set it; the error is for wrapped writers.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(MaxDeadline))
		next.ServeHTTP(w, r)
	})
}

// endWith ends a request's context when draining begins: reflection is a stream that lasts as long as its client likes.
func endWith(draining context.Context, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(draining, cancel)()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
