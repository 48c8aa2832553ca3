package gateway

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/99designs/gqlgen/graphql"

	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/dialect"
	"github.com/littlevote/littlevote/gateway/internal/dialect/cast"
	"github.com/littlevote/littlevote/gateway/internal/dialect/tiny"
	"github.com/littlevote/littlevote/gateway/internal/engine"
	"github.com/littlevote/littlevote/gateway/internal/httpapi"
	"github.com/littlevote/littlevote/gateway/internal/overload"
	"github.com/littlevote/littlevote/gateway/internal/reads"
	"github.com/littlevote/littlevote/libs/service"
	ticketv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ticket/v1"
)

// spoken is the schema of another voting system, served on a ballot of its own: at a path of the gateway's port, and where the
// settings say so at /graphql of a port of its own, for clients that can't be given a path.
type spoken struct {
	ballot   string
	listen   string // empty: no port of its own
	handler  *httpapi.Handler
	listener net.Listener
	server   *http.Server
}

func (s spoken) path() string { return "/" + s.ballot + "/graphql" }

// speak makes the handlers of the dialects. Their clients understand no status but 200, so what is too much is refused inside.
func (s *Service) speak(
	host service.Host, door *overload.Door, metrics *requestMetrics, texts *answer.Texts, language answer.Language,
) error {
	observers, err := newShedding(host.Meter, door, "dialect tickets")
	if err != nil {
		return err
	}
	s.anyTickets = reads.NewTickets(dialect.ExhaustedToo{TicketServiceClient: ticketv1.NewTicketServiceClient(s.backends.ticket)},
		s.cfg.Gateway.Reads.config(), observers["dialect tickets"])
	add := func(ballot, listen string, language answer.Language, schema func(dialect.Services) graphql.ExecutableSchema) {
		services := dialect.Services{Ballot: ballot, Tickets: s.anyTickets, Tallies: s.tallies, Voter: s.voter}
		bounds := s.cfg.Gateway.engineConfig(language)
		bounds.KnownBytes = 0 // their clients know no persisted queries
		running := engine.New(schema(services), bounds, texts, host.Log)
		serving := httpapi.Config{
			Route: spoken{ballot: ballot}.path(), MaxBody: s.cfg.Gateway.MaxBody, MaxAtOnce: s.cfg.Gateway.MaxRequests, Timeout: s.cfg.Gateway.RequestTimeout,
			Callers: s.identity, ShedInside: true,
		}
		s.entrance.guardHTTP(&serving)
		s.dialects = append(s.dialects, &spoken{
			ballot: ballot, listen: listen, handler: httpapi.New(running, serving, door, metrics, host.Log),
		})
	}
	add("cast", s.cfg.Gateway.CastListen, answer.English, func(services dialect.Services) graphql.ExecutableSchema {
		return cast.New(services, texts)
	})
	add("tiny", s.cfg.Gateway.TinyListen, language, tiny.New)
	return nil
}

// listenToDialects opens the ports that the dialects have of their own.
func (s *Service) listenToDialects(ctx context.Context) error {
	for _, d := range s.dialects {
		if d.listen == "" {
			continue
		}
		var err error
		if d.listener, err = s.entrance.listen(ctx, d.listen); err != nil {
			return fmt.Errorf("gateway.%s-listen: %w", d.ballot, err)
		}
		mux := http.NewServeMux()
		mux.Handle("/graphql", s.entrance.cross(s.traces.Watch(d.handler)))
		s.probes(mux)
		d.server = s.entrance.newServer(s.leaving(mux))
		d.server.ConnState = s.connections
	}
	return nil
}

// serve begins to serve on every port; each tells when it ends.
func (s *Service) serve(ctx context.Context) <-chan error {
	ended := make(chan error, 1+len(s.dialects))
	go func() { ended <- s.entrance.serve(s.server, s.listener) }()
	for _, d := range s.dialects {
		if d.server == nil {
			continue
		}
		s.log.InfoContext(ctx, "listening", "address", d.listener.Addr().String(), "path", "/graphql", "ballot", d.ballot)
		go func() { ended <- s.entrance.serve(d.server, d.listener) }()
	}
	return ended
}

// shutdown lets requests end, on every port, and cuts them off when ctx ends.
func (s *Service) shutdown(ctx context.Context) {
	servers := []*http.Server{s.server}
	for _, d := range s.dialects {
		if d.server != nil {
			servers = append(servers, d.server)
		}
	}
	for _, server := range servers {
		if err := server.Shutdown(ctx); err != nil {
			s.log.WarnContext(ctx, "requests cut off", "error", err)
			_ = server.Close()
		}
	}
}

// DialectAddrs are the addresses of the ports that dialects have of their own, by ballot.
func (s *Service) DialectAddrs() map[string]string {
	addresses := map[string]string{}
	for _, d := range s.dialects {
		if d.listener != nil {
			addresses[d.ballot] = d.listener.Addr().String()
		}
	}
	return addresses
}
