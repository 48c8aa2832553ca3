package system

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/littlevote/littlevote/libs/certified"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/tools/internal/process"
	"github.com/littlevote/littlevote/tools/internal/scope"
	"github.com/littlevote/littlevote/tools/internal/voter"
)

// readyTimeout bounds the start of a process, on a machine that does much else.
const readyTimeout = 60 * time.Second

// Kind is a service; its name is that of its program.
type Kind string

// The services.
const (
	Ticket    Kind = "ticket-service"
	Vote      Kind = "vote-service"
	Query     Kind = "query-service"
	Persister Kind = "persister"
	Blog      Kind = "blog-service"
	Gateway   Kind = "gateway"
)

// Kinds are all services, the gateway last.
func Kinds() []Kind { return []Kind{Ticket, Vote, Query, Persister, Blog, Gateway} }

// Config is what is special about a system.
type Config struct {
	Programs string // the folder of the binaries
	Services string // the folder of the services' binaries, where they are another version's; empty: as above
	Dir      string // for logs; one that goes with the scope if empty
	Stores   Stores // as they are seen from outside
	// Way is how a service reaches the stores, where that is not the direct way. It must not change names.
	Way      func(kind Kind, index int) Stores
	Replicas int                 // of every service; 0 means one
	Flags    map[Kind][]string   // beside those that every system has
	TLS      bool                // the services have certificates, and ask each other for them
	Env      map[string][]string // by service, such as "vote-service-0"
}

// System is a running system of separate processes.
type System struct {
	*View

	Gateways []*voter.Client
	t        scope.Scope // a service that is started again lives as long as the system
	config   Config
	services map[Kind][]*Service
	keyFile  string
	signKey  string // file with the key of the results
	lockKey  string
	tokens   *issuer
	// certificates are nil where everything is plaintext.
	certificates *certificates
}

// Service is one replica of a service. It keeps its addresses over a restart.
type Service struct {
	*process.Process

	Kind    Kind
	Address string
	Admin   string
	Env     []string // what the next start adds to the environment
	From    string   // the folder of the binary that the next start takes
	system  *System
	index   int
}

// Start starts a system on fresh stores and waits until it takes votes.
func Start(t scope.Scope, cfg Config) *System {
	t.Helper()
	if err := pgledger.Migrate(t.Context(), cfg.Stores.Postgres, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if cfg.Dir == "" {
		cfg.Dir = scope.Dir(t)
	}
	s := &System{View: Look(t, cfg.Programs, cfg.Stores), t: t, config: cfg, services: map[Kind][]*Service{}, lockKey: rand.Text()}
	t.Cleanup(func() { s.leaveNothing(t) })
	s.keyFile, s.signKey = writeKey(t, cfg.Dir), writeSignKey(t, cfg.Dir)
	s.tokens = newIssuer(t, cfg.Dir)
	if cfg.TLS {
		s.certificates = newCertificates(t, cfg.Dir)
	}
	for _, kind := range Kinds() {
		for i := range max(1, cfg.Replicas) {
			s.services[kind] = append(s.services[kind], &Service{
				Kind: kind, Address: process.Address(t), Admin: process.Address(t), Env: cfg.Env[fmt.Sprintf("%s-%d", kind, i)],
				From:   cmp.Or(cfg.Services, cfg.Programs),
				system: s, index: i,
			})
		}
	}
	for _, kind := range Kinds() {
		for _, one := range s.services[kind] {
			one.Start()
		}
	}
	t.Cleanup(s.Stop)
	for _, gateway := range s.services[Gateway] {
		client := voter.NewClient(gateway.Address)
		t.Cleanup(client.Close) // before the gateways stop
		s.Gateways = append(s.Gateways, client)
	}
	s.awaitReady(t)
	return s
}

func writeKey(t scope.Scope, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "ticket.keys")
	if err := os.WriteFile(file, []byte(NewTicketKey()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func writeSignKey(t scope.Scope, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "result.key.pem")
	private, _, err := certified.MakeKey()
	if err == nil {
		err = os.WriteFile(file, private, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// Service returns a replica.
func (s *System) Service(kind Kind, index int) *Service { return s.services[kind][index] }

// Services returns all replicas of a service.
func (s *System) Services(kind Kind) []*Service { return s.services[kind] }

// All returns all processes, the gateways last.
func (s *System) All() []*Service {
	var all []*Service
	for _, kind := range Kinds() {
		all = append(all, s.services[kind]...)
	}
	return all
}

func (s *System) addresses(kind Kind) string {
	var all []string
	for _, one := range s.services[kind] {
		all = append(all, one.Address)
	}
	return strings.Join(all, ",")
}

// awaitReady waits for every service and for the first answers.
func (s *System) awaitReady(t scope.Scope) {
	t.Helper()
	for _, kind := range Kinds() {
		for _, one := range s.services[kind] {
			one.AwaitReady(t)
		}
	}
	for _, gateway := range s.Gateways {
		AwaitAnswers(t, gateway)
	}
}

// AwaitAnswers waits until a gateway has what a voter asks for first.
func AwaitAnswers(t scope.Scope, gateway *voter.Client) {
	t.Helper()
	scope.Eventually(t, readyTimeout, func() error {
		if _, err := gateway.GetTicket(t.Context(), "main"); err != nil {
			return fmt.Errorf("getTicket: %w", err)
		}
		count, err := gateway.GetUserVotes(t.Context(), "main", "A")
		if err != nil {
			return fmt.Errorf("getUserVotes: %w", err)
		}
		if count.Stale {
			return fmt.Errorf("the counts are stale")
		}
		return nil
	})
}

// Stop stops all services at the same time.
func (s *System) Stop() {
	var stopping sync.WaitGroup
	for _, kind := range Kinds() {
		for _, one := range s.services[kind] {
			stopping.Go(func() { one.Stop(s.t) })
		}
	}
	stopping.Wait()
}

// ID names the replica, such as "vote-service-0".
func (s *Service) ID() string { return fmt.Sprintf("%s-%d", s.Kind, s.index) }

// Start starts the service, or starts it again after it was killed.
func (s *Service) Start() {
	s.system.t.Helper()
	s.Process = process.Start(s.system.t, process.Command{
		Name: s.ID(), Program: filepath.Join(s.From, string(s.Kind)), Dir: s.system.config.Dir,
		Args: append(s.arguments(), s.system.config.Flags[s.Kind]...),
		Env:  append(s.environment(), s.Env...),
	})
}

// AwaitReady waits until the service says that it is ready.
func (s *Service) AwaitReady(t scope.Scope) {
	t.Helper()
	scope.Eventually(t, readyTimeout, func() error {
		select {
		case <-s.Done():
			t.Fatalf("%s has ended", s.Name)
		default:
		}
		resp, err := http.Get("http://" + s.Admin + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s to /readyz", s.Name, resp.Status)
		}
		return nil
	})
}
