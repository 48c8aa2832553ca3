package up

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/littlevote/littlevote/gateway"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/service"
	blogservice "github.com/littlevote/littlevote/services/blog-service"
	persister "github.com/littlevote/littlevote/services/persister"
	queryservice "github.com/littlevote/littlevote/services/query-service"
	ticketservice "github.com/littlevote/littlevote/services/ticket-service"
	voteservice "github.com/littlevote/littlevote/services/vote-service"
	"github.com/littlevote/littlevote/tools/littlevote/internal/reach"
	"github.com/littlevote/littlevote/tools/littlevote/internal/token"
)

// readyTimeout bounds the wait for the first answer; a replay of a long log may come before it.
const readyTimeout = 2 * time.Minute

// run is the life of the all-in-one: stores, services, ready, and back in the opposite order.
func run(ctx context.Context, s *settings, out io.Writer, log *slog.Logger) error {
	service.TuneGarbage()
	st, err := openStores(ctx, s.own, log)
	if err != nil {
		return err
	}
	err = runOn(ctx, s, st, out, log)
	return errors.Join(err, st.close())
}

func runOn(ctx context.Context, s *settings, st *stores, out io.Writer, log *slog.Logger) error {
	if err := pgledger.Migrate(ctx, st.postgres, log); err != nil {
		return err
	}
	meter, registry, err := service.NewMeter("littlevote")
	if err != nil {
		return err
	}
	s.useStores(st)
	if err := blogservice.Migrate(ctx, s.blog.Postgres, log); err != nil {
		return err
	}
	tracer, endTraces, err := service.NewTracer("littlevote", s.gateway.Trace, meter, log)
	if err != nil {
		return err
	}
	defer func() { _ = endTraces(context.WithoutCancel(ctx)) }() // Spans that nobody takes are no failure.
	host := service.Host{Log: log, Health: service.NewHealth(), Meter: meter, Tracer: tracer}
	if err := host.Health.Observe(meter); err != nil {
		return err
	}
	parts, err := newParts(ctx, s, host, registry)
	if err != nil {
		return err
	}
	lines := strings.Join(append(parts.addresses(), st.addresses(s.own)...), "\n") + "\n"
	if err := os.WriteFile(filepath.Join(s.own.DataDir, reach.AddressFile), []byte(lines), 0o600); err != nil {
		return err
	}
	fmt.Fprint(out, lines)
	if len(st.embedded) > 0 {
		fmt.Fprintf(out, "# embedded: %s, data in %s\n", strings.Join(st.embedded, ", "), s.own.DataDir)
	}
	return parts.run(ctx, func() {
		fmt.Fprintln(out, "ready")
		fmt.Fprint(out, tryThis(parts.gateway.Scheme()+"://"+parts.gateway.Addr()))
	})
}

// useStores tells every service where the stores and the keys are.
func (s *settings) useStores(st *stores) {
	s.ticket.Redis.URL, s.vote.Redis.URL, s.query.Redis.URL = st.redis, st.redis, st.redis
	s.vote.Kafka.Brokers, s.persist.Kafka.Brokers = st.kafka, st.kafka
	s.ticket.Postgres.URL, s.vote.Postgres.URL = st.postgres, st.postgres
	s.query.Postgres.URL, s.persist.Postgres.URL = st.postgres, st.postgres
	s.blog.Redis.URL, s.blog.Postgres.URL = st.redis, st.postgres
	if s.ticket.Ticket.KeyFile == "" {
		s.ticket.Ticket.KeyFile, s.vote.Ticket.KeyFile, s.gateway.Ticket.KeyFile = st.keyFile, st.keyFile, st.keyFile
	}
	if s.vote.Ballot.SignKeyFile == "" {
		s.vote.Ballot.SignKeyFile = st.signKey
	}
	if len(s.gateway.Auth.Issuers) == 0 && s.gateway.Auth.JWKSFile == "" {
		s.gateway.Auth.Issuers, s.gateway.Auth.JWKSFile = []string{token.Issuer}, st.tokens
	}
}

// parts are the services and the admin port.
type parts struct {
	gateway *gateway.Service
	ticket  *ticketservice.Service
	vote    *voteservice.Service
	query   *queryservice.Service
	persist *persister.Service
	blog    *blogservice.Service
	admin   *service.Admin
}

func newParts(ctx context.Context, s *settings, host service.Host, registry *prometheus.Registry) (*parts, error) {
	p := &parts{}
	var err error
	if p.admin, err = service.NewAdmin(s.own.Admin.Listen, host.Health, registry); err != nil {
		return nil, err
	}
	if p.persist, err = persister.New(ctx, s.persist, host); err != nil {
		return nil, err
	}
	if p.vote, err = voteservice.New(ctx, s.vote, host); err != nil {
		return nil, err
	}
	if p.query, err = queryservice.New(ctx, s.query, host); err != nil {
		return nil, err
	}
	if p.ticket, err = ticketservice.New(ctx, s.ticket, host); err != nil {
		return nil, err
	}
	s.blog.Vote.Target, s.blog.Query.Target = p.vote.Addr(), p.query.Addr()
	if p.blog, err = blogservice.New(ctx, s.blog, host); err != nil {
		return nil, err
	}
	s.gateway.Blog.Target = p.blog.Addr()
	s.gateway.Ticket.Target, s.gateway.Vote.Target, s.gateway.Query.Target = p.ticket.Addr(), p.vote.Addr(), p.query.Addr()
	p.gateway, err = gateway.New(ctx, s.gateway, host)
	return p, err
}

func (p *parts) addresses() []string {
	list := []string{
		"gateway=" + p.gateway.Addr(), "admin=" + p.admin.Addr(), "ticket=" + p.ticket.Addr(),
		"vote=" + p.vote.Addr(), "query=" + p.query.Addr(), "persister=" + p.persist.Addr(), "blog=" + p.blog.Addr(),
	}
	for _, ballot := range []string{"cast", "tiny"} {
		if address := p.gateway.DialectAddrs()[ballot]; address != "" {
			list = append(list, ballot+"="+address)
		}
	}
	return list
}

// run runs all parts until ctx ends or one of them fails, and stops them in the way of a vote: whoever takes votes in
// first, whoever needs nobody last.
func (p *parts) run(ctx context.Context, ready func()) error {
	line := newLine(ctx)
	line.start(p.gateway)
	line.start(p.blog)
	line.start(p.ticket, p.vote, p.query)
	line.start(p.persist)
	line.start(p.admin)
	err := p.awaitReady(line.failed)
	if err == nil {
		ready()
		<-line.failed.Done()
	}
	stopErr := line.stop()
	if ctx.Err() != nil {
		return stopErr // asked to stop: that the wait for readiness broke off is no fault
	}
	return errors.Join(err, stopErr)
}

// awaitReady asks what a voter would ask first, until it is answered.
func (p *parts) awaitReady(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		err := ask(limited, p.gateway.Scheme()+"://"+p.gateway.Addr()+p.gateway.Path())
		if err == nil {
			return nil
		}
		select {
		case <-limited.Done():
			if ctx.Err() != nil {
				return nil // the line knows why
			}
			return fmt.Errorf("not ready after %s: %w", readyTimeout, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func ask(ctx context.Context, url string) error {
	body := []byte(`{"query":"{getTicket{version} getUserVotes(username:\"A\"){votes stale}}"}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	// It asks itself, whatever names its certificate has.
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true, //nolint:gosec // see above
	}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if bytes.Contains(answer, []byte("QUERY_NOT_IN_SAFELIST")) {
		return nil // the gateway is there, and gateway.allow-list keeps this question out
	}
	if !bytes.Contains(answer, []byte(`"version"`)) || !bytes.Contains(answer, []byte(`"stale":false`)) {
		return fmt.Errorf("the gateway answers %.300s", answer)
	}
	return nil
}

func tryThis(url string) string {
	return fmt.Sprintf(`
Three things to try:
  1. Vote, in another terminal:    go run ./tools/littlevote vote A B --url %[1]s/graphql
  2. The same with curl:           curl -s %[1]s/graphql -H 'Content-Type: application/json' -d '{"query":"mutation{ticketAndVote(usernames:[\"A\"]){success message totals{username votes}}}"}'
  3. In a browser, the playground: %[1]s/
Ctrl-C stops it; started again, every acknowledged vote is there.
`, url)
}
