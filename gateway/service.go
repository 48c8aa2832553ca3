package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/littlevote/littlevote/gateway/graph"
	"github.com/littlevote/littlevote/gateway/graph/exec"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/engine"
	"github.com/littlevote/littlevote/gateway/internal/httpapi"
	"github.com/littlevote/littlevote/gateway/internal/identity"
	"github.com/littlevote/littlevote/gateway/internal/likes"
	"github.com/littlevote/littlevote/gateway/internal/live"
	"github.com/littlevote/littlevote/gateway/internal/overload"
	"github.com/littlevote/littlevote/gateway/internal/reads"
	"github.com/littlevote/littlevote/gateway/internal/resolver"
	"github.com/littlevote/littlevote/gateway/internal/spans"
	"github.com/littlevote/littlevote/gateway/internal/visit"
	"github.com/littlevote/littlevote/gateway/internal/votes"
	"github.com/littlevote/littlevote/gateway/playground"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/ticket"
)

// drainTimeout is how long requests that were taken may go on once the gateway is told to stop.
const drainTimeout = 9 * time.Second

// Service is one gateway.
type Service struct {
	cfg      Config
	log      *slog.Logger
	health   *service.Health
	listener net.Listener
	server   *http.Server
	draining atomic.Bool
	open     atomic.Int64 // connections
	backends *backends
	identity *identity.Authenticator
	tickets  *reads.Tickets
	dialects []*spoken

	anyTickets *reads.Tickets // tickets that are used up too
	tallies    *reads.Tallies
	ballots    *reads.Ballots
	rankings   *reads.Rankings
	voter      *votes.Voter
	live       *live.Hub
	blog       *likes.Blog // nil: there is none
	api        http.Handler
	graphql    *httpapi.Handler
	traces     *spans.Door
	entrance   *entrance
	keys       *ticket.Keys
	secure     *service.TLS
}

// New sets a gateway up and listens. The other services may come later.
func New(ctx context.Context, cfg Config, host service.Host) (*Service, error) {
	s := &Service{cfg: cfg, log: host.Log, health: host.Health, traces: spans.NewDoor(host.Tracer)}
	handler, err := s.connect(host)
	if err != nil {
		s.close(ctx)
		return nil, err
	}
	if s.listener, err = s.entrance.listen(ctx, cfg.Listen); err != nil {
		s.close(ctx)
		return nil, fmt.Errorf("listen: %w", err)
	}
	s.server = s.entrance.newServer(handler)
	s.server.ConnState = s.connections
	if err := s.listenToDialects(ctx); err != nil {
		s.close(ctx)
		return nil, err
	}
	return s, nil
}

// connect makes the clients and what stands before them.
func (s *Service) connect(host service.Host) (http.Handler, error) {
	language, err := answer.ParseLanguage(s.cfg.Gateway.Language)
	if err != nil {
		return nil, err
	}
	keys, err := ticket.Open(s.cfg.Ticket.KeyFile, s.cfg.Dev.Dev)
	if err != nil {
		return nil, err
	}
	s.keys = keys
	host.Health.Degraded(keys.Problem)
	if s.secure, err = service.OpenTLS(s.cfg.TLS, s.cfg.Dev.Dev, host); err != nil {
		return nil, err
	}
	if s.backends, err = dial(s.cfg, s.secure, host); err != nil {
		return nil, err
	}
	if s.identity, err = s.cfg.Auth.open(s.backends.sessions(), s.cfg.Gateway.CORS.trusted()); err != nil {
		return nil, err
	}
	if s.entrance, err = openEntrance(s.cfg, host); err != nil {
		return nil, err
	}
	host.Health.Check("services", s.backends.check)
	host.Health.Degraded(s.backends.degraded)
	door := overload.NewDoor()
	root, err := s.gather(host, door)
	if err != nil {
		return nil, err
	}
	sdl, err := graph.SDL()
	if err != nil {
		return nil, err
	}
	texts := answer.NewTexts()
	if s.blog, err = s.openBlog(host, door); err != nil {
		return nil, err
	}
	root.Blog = s.blog
	root.Keys, root.Texts, root.Language, root.SDL, root.Now = keys, texts, language, sdl, time.Now
	schema := exec.New(resolver.New(root))
	metrics, err := newRequestMetrics(host.Meter)
	if err != nil {
		return nil, err
	}
	running := engine.New(schema, s.cfg.Gateway.engineConfig(language), texts, host.Log)
	if err := s.entrance.allow(running, host.Health); err != nil {
		return nil, err
	}
	serving := s.cfg.Gateway.httpConfig()
	serving.Callers = s.identity
	s.entrance.guardHTTP(&serving)
	if s.entrance.allowed != nil {
		serving.Allowed = s.entrance.allowed
	}
	s.graphql = httpapi.New(running, serving, door, metrics, host.Log)
	if err := watchStreams(host.Meter, s.live.Count, s.graphql.Open); err != nil {
		return nil, err
	}
	if s.api, err = s.openAPI(door, metrics, texts, language); err != nil {
		return nil, err
	}
	if err := s.speak(host, door, metrics, texts, language); err != nil {
		return nil, err
	}
	return s.routes(s.graphql)
}

// routes puts the endpoint, the probes and the pages on one port.
func (s *Service) routes(graphql http.Handler) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.Handle(s.cfg.Gateway.Path, s.entrance.cross(s.traces.Watch(graphql)))
	for _, d := range s.dialects {
		mux.Handle(d.path(), s.entrance.cross(s.traces.Watch(d.handler)))
	}
	s.probes(mux)
	mux.Handle("/api/", s.entrance.cross(s.traces.Watch(s.api)))
	if s.cfg.Gateway.Playground {
		if err := playground.Mount(mux, s.cfg.Gateway.Path); err != nil {
			return nil, err
		}
	}
	return s.leaving(mux), nil
}

// probes answers those who watch over the process.
func (s *Service) probes(mux *http.ServeMux) {
	probes := s.health.Probes()
	for _, path := range []string{"/livez", "/readyz", "/healthz", "/health"} {
		mux.Handle(path, probes)
	}
}

// connection lets requests know who is at the other end, and streams bound what waits for them.
func connection(ctx context.Context, conn net.Conn) context.Context {
	return httpapi.Connection(visit.Connection(ctx, conn), conn)
}

// leaving closes each connection after its answer once the gateway is told to stop, so that nobody sends a request on one
// that is about to be closed.
func (s *Service) leaving(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// connections counts those that are open.
func (s *Service) connections(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.open.Add(-1)
	}
}

// linger goes on serving while clients leave.
func (s *Service) linger() {
	const look = 10 * time.Millisecond
	s.draining.Store(true)
	for end := time.Now().Add(s.cfg.Gateway.DrainWait); s.open.Load() > 0 && time.Now().Before(end); {
		time.Sleep(look)
	}
}

// Addr is the address it listens on.
func (s *Service) Addr() string { return s.listener.Addr().String() }

// Scheme is "https" where clients come by TLS, else "http".
func (s *Service) Scheme() string {
	if s.entrance.certs != nil {
		return "https"
	}
	return "http"
}

// Path is the path of the GraphQL endpoint.
func (s *Service) Path() string { return s.cfg.Gateway.Path }

// Run serves until ctx ends, then drains: clients leave, no new connections, requests, calls, in this order. It is called
// once.
func (s *Service) Run(ctx context.Context) error {
	s.log.InfoContext(ctx, "listening", "address", s.Addr(), "path", s.Path())
	defer s.entrance.run(context.WithoutCancel(ctx))()
	defer s.watchFiles(context.WithoutCancel(ctx))()
	served := s.serve(ctx)
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	s.health.Drain()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	s.graphql.Drain()
	s.linger()
	s.shutdown(drain)
	s.graphql.Wait(drain)
	if err == nil {
		err = <-served
	}
	s.close(drain)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// watchFiles reads the ticket keys and the certificates again when they change, until what it returns is called.
func (s *Service) watchFiles(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { _ = s.keys.Run(ctx, s.log) }) // nil
	watch.Go(func() { _ = s.secure.Run(ctx) })      // nil
	return func() {
		cancel()
		watch.Wait()
	}
}

// close ends what New made, in the order of a request.
func (s *Service) close(ctx context.Context) {
	if s.listener != nil {
		_ = s.listener.Close()
	}
	for _, d := range s.dialects {
		if d.listener != nil {
			_ = d.listener.Close()
		}
	}
	if s.live != nil {
		s.live.Close()
	}
	if s.voter != nil {
		s.voter.Close(ctx)
	}
	if s.blog != nil {
		s.blog.Close(ctx)
	}
	if s.tickets != nil { // made together
		s.tallies.Close(ctx)
		s.tickets.Close(ctx)
		s.rankings.Close(ctx)
		s.ballots.Close(ctx)
	}
	if s.entrance != nil {
		s.entrance.close()
	}
	if s.backends != nil {
		s.backends.close()
	}
}
