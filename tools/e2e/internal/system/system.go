package system

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/tools/e2e/internal/process"
	"github.com/littlevote/littlevote/tools/e2e/internal/voter"
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
	Gateway   Kind = "gateway"
)

// Kinds are all services, the gateway last.
func Kinds() []Kind { return []Kind{Ticket, Vote, Query, Persister, Gateway} }

// Config is what is special about a system.
type Config struct {
	Replicas int               // of every service; 0 means one
	Flags    map[Kind][]string // beside those that every test has
	Redis    string            // URL of a Redis of the test's own; empty takes that of testenv
	Kafka    []string          // brokers of the test's own; none takes those of testenv
}

// System is a running system of separate processes.
type System struct {
	*View

	Gateways []*voter.Client
	t        testing.TB // a service that is started again lives as long as the system
	services map[Kind][]*Service
	dir      string
	keyFile  string
	lockKey  string
	flags    map[Kind][]string
}

// Service is one replica of a service. It keeps its addresses over a restart.
type Service struct {
	*process.Process

	Kind    Kind
	Address string
	Admin   string
	system  *System
	index   int
}

// Start starts a system on fresh stores and waits until it takes votes.
func Start(t testing.TB, cfg Config) *System {
	t.Helper()
	process.Binary(t, string(Gateway)) // built before any clock runs
	stores := cfg.stores(t)
	if err := pgledger.Migrate(t.Context(), stores.Postgres, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	s := &System{
		View: stores.view(t), t: t, services: map[Kind][]*Service{}, dir: testenv.Dir(t), lockKey: testenv.Namespace(t),
		flags: cfg.Flags,
	}
	t.Cleanup(func() { s.leaveNothing(t) })
	s.keyFile = writeKey(t, s.dir)
	for _, kind := range Kinds() {
		for i := range max(1, cfg.Replicas) {
			s.services[kind] = append(s.services[kind], &Service{
				Kind: kind, Address: process.Address(t), Admin: process.Address(t), system: s, index: i,
			})
		}
	}
	for _, kind := range Kinds() {
		for _, one := range s.services[kind] {
			one.Start()
		}
	}
	t.Cleanup(s.stop)
	for _, gateway := range s.services[Gateway] {
		client := voter.NewClient(gateway.Address)
		t.Cleanup(client.Close) // before the gateways stop
		s.Gateways = append(s.Gateways, client)
	}
	s.awaitReady(t)
	return s
}

func writeKey(t testing.TB, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "ticket.keys")
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	if err := os.WriteFile(file, []byte(hex.EncodeToString(secret)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Service returns a replica.
func (s *System) Service(kind Kind, index int) *Service { return s.services[kind][index] }

func (s *System) addresses(kind Kind) string {
	var all []string
	for _, one := range s.services[kind] {
		all = append(all, one.Address)
	}
	return strings.Join(all, ",")
}

// awaitReady waits for every service and for the first answers.
func (s *System) awaitReady(t testing.TB) {
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
func AwaitAnswers(t testing.TB, gateway *voter.Client) {
	t.Helper()
	testenv.Eventually(t, readyTimeout, func() error {
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

// stop stops all services at the same time.
func (s *System) stop() {
	var stopping sync.WaitGroup
	for _, kind := range Kinds() {
		for _, one := range s.services[kind] {
			stopping.Go(func() { one.Stop(s.t) })
		}
	}
	stopping.Wait()
}

// Start starts the service, or starts it again after it was killed.
func (s *Service) Start() {
	s.system.t.Helper()
	s.Process = process.Start(s.system.t, process.Command{
		Name: fmt.Sprintf("%s-%d", s.Kind, s.index), Program: string(s.Kind), Dir: s.system.dir,
		Args: append(s.arguments(), s.system.flags[s.Kind]...),
		Env:  s.environment(),
	})
}

// AwaitReady waits until the service says that it is ready.
func (s *Service) AwaitReady(t testing.TB) {
	t.Helper()
	testenv.Eventually(t, readyTimeout, func() error {
		select {
		case <-s.Done():
			t.Fatalf("%s has ended", s.Name)
		default:
		}
		resp, err := http.Get("http://" + s.Address + "/readyz")
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
