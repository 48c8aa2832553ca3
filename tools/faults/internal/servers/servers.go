package servers

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/littlevote/littlevote/libs/embedded/filelock"
	"github.com/littlevote/littlevote/tools/internal/deps"
	"github.com/littlevote/littlevote/tools/internal/process"
	"github.com/littlevote/littlevote/tools/internal/scope"
)

// downTimeout bounds the end of all servers.
const downTimeout = 9 * time.Second

// Shared are the servers that outlive a run: Kafka, Postgres and its replica.
type Shared struct {
	Kafka    *Proxy // the way to the broker that the services take
	dir      string
	cache    string
	progress io.Writer
	proxyAt  string
	promoted bool // Postgres is not as the next run wants it
}

// NewShared prepares the servers whose data stands in dir; each starts when a run needs it, and all stop with the scope.
func NewShared(t scope.Scope, dir, cache string, progress io.Writer) *Shared {
	t.Helper()
	s := &Shared{dir: dir, cache: cache, progress: progress, proxyAt: process.Address(t)}
	if err := deps.Down(t.Context(), dir, progress); err != nil { // what a run that was killed has left
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), downTimeout)
		defer cancel()
		s.thaw()
		if err := deps.Down(ctx, dir, progress); err != nil {
			t.Errorf("stop the servers: %v", err)
		}
	})
	return s
}

// Ensure starts the servers unless they run.
func (s *Shared) Ensure(t scope.Scope, names ...string) {
	t.Helper()
	s.thaw()
	if s.promoted {
		// The first one is the primary again, and waits for nobody; the replica is made anew.
		s.up(t, false, deps.PostgresReplica)
		s.promoted = false
	}
	s.up(t, false, names...)
}

// EnsureSynchronous starts them, and makes Postgres wait for its replica, until the next run.
func (s *Shared) EnsureSynchronous(t scope.Scope, names ...string) {
	t.Helper()
	s.Ensure(t, names...)
	s.promoted = true
	s.up(t, true, deps.PostgresReplica)
}

// Rest ends the brokers of the cluster: three of them are a load for every other run. Their next start takes a while.
func (s *Shared) Rest(t scope.Scope) {
	t.Helper()
	all, err := deps.Status(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if one.PID != 0 && strings.HasPrefix(one.Name, deps.KafkaCluster+"-") {
			s.Kill(t, one.Name)
		}
	}
}

func (s *Shared) up(t scope.Scope, synchronous bool, names ...string) {
	t.Helper()
	_, err := deps.Up(t.Context(), s.dir, deps.Options{
		Only: names, Install: true, CacheDir: s.cache, Progress: s.progress, KafkaProxy: s.proxyAt, Synchronous: synchronous,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Promote makes the replica of Postgres the primary.
func (s *Shared) Promote(t scope.Scope) {
	t.Helper()
	if err := deps.Promote(t.Context(), s.dir); err != nil {
		t.Fatal(err)
	}
}

// BothPostgres is the URL of a database that names the primary and the replica.
func (s *Shared) BothPostgres(t scope.Scope, database string) string {
	t.Helper()
	both, err := deps.FailoverURL(deps.Addresses{s.find(t, deps.Postgres), s.find(t, deps.PostgresReplica)})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	return WithDatabase(t, both, strings.TrimPrefix(u.Path, "/"))
}

// Proxied is a proxy before the broker for as long as the scope goes on.
func (s *Shared) Proxied(t scope.Scope) *Proxy {
	t.Helper()
	upstream, err := deps.BehindProxy(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	s.Kafka = NewProxy(t, deps.Kafka, s.proxyAt, upstream)
	return s.Kafka
}

// Address is where a server is, as deps says it.
func (s *Shared) Address(t scope.Scope, name string) string {
	t.Helper()
	return s.find(t, name).Value
}

// KillAt ends the server at an address.
func (s *Shared) KillAt(t scope.Scope, address string) {
	t.Helper()
	all, err := deps.Status(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if HostOf(one.Value) == address {
			s.Kill(t, one.Name)
			return
		}
	}
	t.Fatalf("no server is at %s", address)
}

func (s *Shared) find(t scope.Scope, name string) deps.Address {
	t.Helper()
	all, err := deps.Status(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if one.Name == name {
			return one
		}
	}
	t.Fatalf("there is no %s", name)
	return deps.Address{}
}

// Kill ends a server as a power cut of its machine would.
func (s *Shared) Kill(t scope.Scope, name string) { s.signal(t, name, syscall.SIGKILL) }

// Freeze stops a server in whatever it does; Thaw lets it go on.
func (s *Shared) Freeze(t scope.Scope, name string) { s.signal(t, name, syscall.SIGSTOP) }

// Thaw lets a server go on.
func (s *Shared) Thaw(t scope.Scope, name string) { s.signal(t, name, syscall.SIGCONT) }

func (s *Shared) signal(t scope.Scope, name string, signal syscall.Signal) {
	t.Helper()
	pid := s.find(t, name).PID
	if pid == 0 {
		t.Fatalf("%s does not run", name)
	}
	if err := syscall.Kill(pid, signal); err != nil {
		t.Fatalf("%v to %s: %v", signal, name, err)
	}
	if signal == syscall.SIGKILL {
		scope.Eventually(t, 10*time.Second, func() error {
			if s.find(t, name).PID != 0 {
				return fmt.Errorf("%s goes on", name)
			}
			return nil
		})
	}
}

// thaw lets everything go on that a run has left frozen.
func (s *Shared) thaw() {
	all, err := deps.Status(s.dir)
	if err != nil {
		return // nothing was ever started
	}
	for _, one := range all {
		if one.PID != 0 {
			_ = syscall.Kill(one.PID, syscall.SIGCONT) // an error says that it has just ended
		}
	}
}

// Through replaces the address in a URL.
func Through(t scope.Scope, rawURL, address string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = address
	return u.String()
}

// HostOf is the host:port of a URL, or of an address.
func HostOf(rawURL string) string {
	if u, err := url.Parse(rawURL); err == nil && u.Host != "" {
		return u.Host
	}
	return strings.TrimPrefix(rawURL, "redis://")
}

// Lock keeps a second command off the same folder.
func Lock(t scope.Scope, file string) {
	t.Helper()
	lock, err := filelock.Acquire(file)
	if err != nil {
		t.Fatalf("another command is at work there: %v", err)
	}
	t.Cleanup(func() { _ = lock.Release() })
}
