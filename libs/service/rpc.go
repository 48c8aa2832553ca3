package service

import (
	"context"
	"net/http"
	"time"

	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
)

const (
	// arriveTime is how long the message of a call may take to arrive.
	arriveTime = MaxDeadline
	// callTime bounds a call from its first byte to its last: arriving, being worked on, and its answer being taken.
	callTime = arriveTime + 2*MaxDeadline
)

// Mount is one RPC service: what a generated New…Handler function returns, and the name of the service. Its methods are unary:
// each call has ended after 90 s.
type Mount struct {
	Name    string // fully qualified, such as "littlevote.vote.v1.VoteService"
	Path    string // "/" + Name + "/"
	Handler http.Handler
	Callers Callers // of each of its procedures
}

// RPC serves gRPC, gRPC-Web and Connect on one port, with or without TLS, and beside the mounted services gRPC health, gRPC
// reflection and the probes. Where the files for TLS have a CA, every client must show a certificate of it, and what it may call
// goes by the kind that the certificate names: the mounted services by their tables, health for every kind, reflection for operators.
// The probes answer every client with a certificate; who has none, such as a kubelet, asks the admin port.
type RPC struct{ *Server }

// NewRPC listens at once, so that Addr is known; nothing is answered before Run.
func NewRPC(listen string, secure *TLS, health *Health, mounts ...Mount) (*RPC, error) {
	server, err := NewServer(listen, secure, health, func(draining context.Context) http.Handler {
		return rpcMux(draining, secure, health, mounts)
	})
	if err != nil {
		return nil, err
	}
	if len(mounts) > 0 && !secure.asks() && secure != nil && !secure.dev {
		health.Weak(nobodyAsked)
		secure.log.WarnContext(context.Background(), nobodyAsked, "address", server.Addr()) //nolint:sloglint // The same words in both places.
	}
	return &RPC{server}, nil
}

const nobodyAsked = "no tls.ca-file: whoever reaches the port of a service may call it as any service and as an operator"

// healthCallers and reflectionCallers are the rules of what every port has.
func healthCallers() Callers { return Callers{"Check": Kinds(), "Watch": Kinds()} }
func reflectionCallers() Callers {
	return Callers{"ServerReflectionInfo": {Operator}}
}

func rpcMux(draining context.Context, secure *TLS, health *Health, mounts []Mount) http.Handler {
	mux := http.NewServeMux()
	names := make(map[string]bool, len(mounts))
	reflected := []string{grpchealth.HealthV1ServiceName}
	for _, mount := range mounts {
		mux.Handle(mount.Path, limitTime(arriveTime, callTime, limitBody(guard(secure, mount.Path, mount.Callers, mount.Handler))))
		names[mount.Name] = true
		reflected = append(reflected, mount.Name)
	}
	limit := readLimits()
	path, handler := grpchealth.NewHandler(grpcHealth{health: health, names: names}, limit)
	mux.Handle(path, limitTime(arriveTime, callTime, limitBody(guard(secure, path, healthCallers(), handler))))
	reflector := grpcreflect.NewStaticReflector(reflected...)
	path, handler = grpcreflect.NewHandlerV1(reflector, limit)
	mux.Handle(path, guard(secure, path, reflectionCallers(), endWith(draining, handler)))
	path, handler = grpcreflect.NewHandlerV1Alpha(reflector, limit)
	mux.Handle(path, guard(secure, path, reflectionCallers(), endWith(draining, handler)))
	mountProbes(mux, health.Probes())
	return mux
}

// limitTime bounds the time in which a request must have arrived whole and its answer be taken. A Connect handler reads the
// message before any interceptor runs, so without this a client that sends a byte a minute would hold a goroutine for ever.
func limitTime(arrive, whole time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Every server of ours can set them; the errors are for wrapped writers.
		control, now := http.NewResponseController(w), time.Now()
		_ = control.SetReadDeadline(now.Add(arrive))
		_ = control.SetWriteDeadline(now.Add(whole))
		next.ServeHTTP(w, r)
	})
}

// endWith ends a stream when draining begins: reflection lasts as long as its client likes. The handler waits for the next
// message without a look at its context, so it is the reading that has to end.
func endWith(draining context.Context, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ended := make(chan struct{})
		stop := context.AfterFunc(draining, func() {
			defer close(ended)
			_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
		})
		defer func() {
			if !stop() {
				<-ended // w must not be touched after the return.
			}
		}()
		next.ServeHTTP(w, r)
	})
}
