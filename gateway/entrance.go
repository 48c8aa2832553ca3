package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/cors"

	"github.com/littlevote/littlevote/gateway/internal/allowlist"
	"github.com/littlevote/littlevote/gateway/internal/conns"
	"github.com/littlevote/littlevote/gateway/internal/engine"
	"github.com/littlevote/littlevote/gateway/internal/httpapi"
	"github.com/littlevote/littlevote/gateway/internal/limit"
	"github.com/littlevote/littlevote/gateway/internal/origin"
	"github.com/littlevote/littlevote/gateway/internal/rest"
	"github.com/littlevote/littlevote/gateway/internal/tenant"
	"github.com/littlevote/littlevote/gateway/internal/visit"
	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/tlsfiles"
)

// entrance is what every client passes, whatever it wants: the same for all ports but the admin's.
type entrance struct {
	cfg     Settings
	log     *slog.Logger
	proxies visit.Proxies
	bound   *conns.Bound
	certs   *tlsfiles.Files // nil: no TLS
	guard   *origin.Guard
	limits  *limit.Limiter        // nil: nobody is limited
	rdb     redis.UniversalClient // nil: the limits are kept here
	allowed *allowlist.List       // nil: every operation is
}

// openEntrance reads what the settings name. A Redis that is away does not matter.
func openEntrance(cfg Config, host service.Host) (*entrance, error) {
	e := &entrance{cfg: cfg.Gateway, log: host.Log}
	var err error
	if e.proxies, err = visit.ParseProxies(e.cfg.TrustedProxies); err != nil {
		return nil, fmt.Errorf("gateway.trusted-proxies: %w", err)
	}
	if e.guard, err = origin.New(e.cfg.CORS.Origins, e.cfg.RequirePreflight); err != nil {
		return nil, err
	}
	e.bound = conns.New(e.cfg.Connections.config(e.proxies))
	if err := watchConnections(host.Meter, e.bound); err != nil {
		return nil, err
	}
	if files := (config.TLS{CertFile: e.cfg.TLS.CertFile, KeyFile: e.cfg.TLS.KeyFile}); files.CertFile != "" {
		if e.certs, err = tlsfiles.Open("gateway.tls", files, host.Log); err != nil {
			return nil, err
		}
		host.Health.Degraded(e.certs.Problem)
	}
	if !e.cfg.Limits.set() {
		return e, nil
	}
	if err := e.openLimits(cfg.Redis, host); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// mostToRedis is how many connections the limits need at most: they gather what they ask.
const mostToRedis = 4

func (e *entrance) openLimits(at config.Redis, host service.Host) (err error) {
	if at.URL != "" {
		at.PoolSize = min(at.PoolSize, mostToRedis)
		if e.rdb, err = redisledger.Connect(at, host.Log); err != nil {
			return err
		}
	}
	e.limits, err = limit.New(e.cfg.Limits.config(e.proxies), e.rdb, host.Meter, host.Log)
	if err == nil {
		host.Health.Degraded(e.limits.Degraded)
	}
	return err
}

// allow reads the list of operations, which the engine must know, if there is one.
func (e *entrance) allow(running *engine.Engine, health *service.Health) (err error) {
	if e.cfg.AllowList == "" {
		return nil
	}
	if e.allowed, err = allowlist.Open(e.cfg.AllowList, running.Prepare); err != nil {
		return config.Errorf("gateway.allow-list", "expected a manifest of operations: %v", err)
	}
	health.Degraded(e.allowed.Problem)
	return nil
}

// guardHTTP sets what handlers of GraphQL need of the entrance.
func (e *entrance) guardHTTP(serving *httpapi.Config) {
	serving.Guard = e.guard
	if e.limits != nil {
		serving.Limits = e.limits
	}
}

// guardREST sets what the REST API needs.
func (e *entrance) guardREST(serving *rest.Config) {
	serving.Guard = e.guard
	if e.limits != nil {
		serving.Limits = e.limits
	}
}

// run keeps what was read from files up to date until ctx ends, and returns what waits for that.
func (e *entrance) run(ctx context.Context) (wait func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	if e.certs != nil {
		running.Go(func() { _ = e.certs.Run(ctx) })
	}
	if e.allowed != nil {
		running.Go(func() { e.allowed.Run(ctx, e.log) })
	}
	return func() {
		cancel()
		running.Wait()
	}
}

func (e *entrance) close() {
	if e.limits != nil {
		e.limits.Close()
	}
	if e.rdb != nil {
		_ = e.rdb.Close()
	}
}

// cross lets the pages of other origins in that the settings name; without any it adds nothing.
func (e *entrance) cross(next http.Handler) http.Handler {
	const remembered = 10 * time.Minute // by browsers, that they may ask
	if len(e.cfg.CORS.Origins) == 0 {
		return next
	}
	return cors.New(cors.Options{
		AllowedOrigins: e.cfg.CORS.Origins,
		AllowedMethods: []string{http.MethodGet, http.MethodPost},
		AllowedHeaders: []string{
			"Accept", "Accept-Language", "Content-Type", "Authorization", tenant.Header, origin.Preflight, origin.OperationName,
			"Apollographql-Client-Name", "Apollographql-Client-Version", "Traceparent", "Tracestate",
		},
		ExposedHeaders:   []string{"Retry-After"},
		AllowCredentials: e.cfg.CORS.Credentials,
		MaxAge:           int(remembered / time.Second),
	}).Handler(next)
}

// secured tells browsers that came by TLS to come by nothing else for a year.
func (e *entrance) secured(next http.Handler) http.Handler {
	if e.certs == nil {
		return next
	}
	always := []string{"max-age=31536000"}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Strict-Transport-Security"] = always
		next.ServeHTTP(w, r)
	})
}

// listen opens a port.
func (e *entrance) listen(ctx context.Context, address string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return e.bound.Listen(listener), nil
}

// serve serves a port, with TLS where there is a certificate.
func (e *entrance) serve(server *http.Server, on net.Listener) error {
	if e.certs == nil {
		return server.Serve(on)
	}
	return server.ServeTLS(on, "", "")
}

// newServer bounds what a slow or a greedy client can hold.
func (e *entrance) newServer(handler http.Handler) *http.Server {
	const (
		headers     = 16 << 10 // bytes beside the query string
		streams     = 250      // requests at once on a connection of HTTP/2
		pingAfter   = 30 * time.Second
		pingTimeout = 15 * time.Second
	)
	server := &http.Server{
		Handler:           e.secured(handler),
		ReadHeaderTimeout: e.cfg.Timeouts.Headers,
		ReadTimeout:       e.cfg.Timeouts.Read,
		WriteTimeout:      e.cfg.Timeouts.Write + e.cfg.RequestTimeout,
		IdleTimeout:       e.cfg.Timeouts.Idle,
		MaxHeaderBytes:    e.cfg.MaxBody + headers,
		ConnContext:       connection,
		ErrorLog:          slog.NewLogLogger(e.log.Handler(), slog.LevelDebug), // broken clients, mostly
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: streams, SendPingTimeout: pingAfter, PingTimeout: pingTimeout, WriteByteTimeout: e.cfg.Timeouts.Write,
		},
	}
	if e.certs != nil {
		server.TLSConfig = e.certs.Server("h2", "http/1.1")
	}
	return server
}
