//go:build deps

package deps

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/service/servicetest"
	"github.com/littlevote/littlevote/libs/testenv"
)

// tlsServers starts redis-servers that speak TLS only and have passwords, for one test.
type tlsServers struct {
	t   *testing.T
	own config.TLS
}

// port is one that nobody has now, with room for the port of a cluster's bus above it.
func (s tlsServers) port() string {
	s.t.Helper()
	const highest = 55_000
	for range 100 {
		port, err := freePort(s.t.Context(), 0)
		if err != nil {
			s.t.Fatal(err)
		}
		if port < highest {
			return strconv.Itoa(port)
		}
	}
	s.t.Fatal("no free port")
	return ""
}

// start starts a server with further lines of settings, and returns its port.
func (s tlsServers) start(sentinel bool, lines ...string) string {
	s.t.Helper()
	port, dir := s.port(), s.t.TempDir()
	lines = append([]string{
		"port 0", "tls-port " + port, "bind 127.0.0.1", "dir " + dir,
		"tls-cert-file " + s.own.CertFile, "tls-key-file " + s.own.KeyFile, "tls-ca-cert-file " + s.own.CAFile, "tls-replication yes",
	}, lines...)
	file := filepath.Join(dir, "redis.conf")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	args := []string{file}
	if sentinel {
		args = append(args, "--sentinel")
	}
	cmd := exec.Command("redis-server", args...)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return port
}

// cli runs redis-cli with the servers' files.
func (s tlsServers) cli(args ...string) (string, error) {
	files := []string{"--tls", "--cacert", s.own.CAFile, "--cert", s.own.CertFile, "--key", s.own.KeyFile, "--no-auth-warning", "-a", "hunter2"}
	out, err := exec.CommandContext(s.t.Context(), "redis-cli", append(files, args...)...).CombinedOutput()
	return string(out), err
}

// works writes and reads a ticket's worth by way of the settings, and says what a Pinger finds.
func (s tlsServers) works(cfg config.Redis) error {
	log := slog.New(slog.DiscardHandler)
	cfg.PoolSize, cfg.Timeout = 4, 5*time.Second
	rdb, err := redisledger.Connect(cfg, log)
	if err != nil {
		return err
	}
	defer func() { _ = rdb.Close() }()
	pinger, err := redisledger.NewPinger(cfg, log)
	if err != nil {
		return err
	}
	defer func() { _ = pinger.Close() }()
	ctx := s.t.Context()
	for _, key := range []string{"{a}:x", "{b}:x", "{c}:x"} {
		if err := rdb.Set(ctx, key, "1", time.Minute).Err(); err != nil {
			return err
		}
		if got, err := rdb.Get(ctx, key).Result(); err != nil || got != "1" {
			return fmt.Errorf("got %q, %w", got, err)
		}
	}
	return pinger.Ping(ctx)
}

// TestRedisByTLS tries all three kinds of Redis, real ones, by TLS with certificates of both sides and with passwords.
func TestRedisByTLS(t *testing.T) {
	ca := servicetest.NewCA(t)
	s := tlsServers{t: t, own: ca.Issue(t, service.Persister)}
	mine := ca.Issue(t, service.VoteService)
	settings := func(url string) config.Redis {
		return config.Redis{URL: url, CAFile: mine.CAFile, CertFile: mine.CertFile, KeyFile: mine.KeyFile}
	}
	t.Run("one", func(t *testing.T) {
		port := s.start(false, "requirepass hunter2")
		cfg := settings("rediss://:hunter2@127.0.0.1:" + port)
		testenv.Eventually(t, 20*time.Second, func() error { return s.works(cfg) })
		refused(t, s, cfg)
	})
	t.Run("Cluster", func(t *testing.T) {
		var nodes []string
		for range 3 {
			nodes = append(nodes, "127.0.0.1:"+s.start(false, "requirepass hunter2", "masterauth hunter2", "cluster-enabled yes", "tls-cluster yes"))
		}
		testenv.Eventually(t, 20*time.Second, func() error {
			out, err := s.cli(append([]string{"--cluster", "create", "--cluster-yes"}, nodes...)...)
			if err != nil && !strings.Contains(out, "is not empty") {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
		cfg := settings("rediss+cluster://:hunter2@" + strings.Join(nodes, ","))
		testenv.Eventually(t, 30*time.Second, func() error { return s.works(cfg) })
		refused(t, s, cfg)
	})
	t.Run("Sentinels", func(t *testing.T) {
		data := s.start(false, "requirepass hunter2")
		sentinel := s.start(true, "sentinel monitor main 127.0.0.1 "+data+" 1", "sentinel auth-pass main hunter2", "requirepass hunter3")
		cfg := settings("rediss+sentinel://:hunter2@127.0.0.1:" + sentinel + "/main")
		cfg.SentinelPassword = "hunter3"
		testenv.Eventually(t, 20*time.Second, func() error { return s.works(cfg) })
		refused(t, s, cfg)
		cfg.SentinelPassword = "hunter2"
		if err := s.works(cfg); err == nil {
			t.Error("Sentinels take any password")
		}
	})
}

// refused tries what must not connect: in plaintext, without a certificate, and with a CA that is not the servers'.
func refused(t *testing.T, s tlsServers, cfg config.Redis) {
	t.Helper()
	plain, nobody, other := cfg, cfg, cfg
	plain.URL = strings.Replace(cfg.URL, "rediss", "redis", 1)
	nobody.CertFile, nobody.KeyFile = "", ""
	other.CAFile = servicetest.NewCA(t).Issue(t, service.VoteService).CAFile
	for name, bad := range map[string]config.Redis{"in plaintext": plain, "without a certificate": nobody, "with another CA": other} {
		err := s.works(bad)
		if err == nil {
			err = errors.New("connected")
		} else if !strings.Contains(err.Error(), "hunter") {
			continue
		}
		t.Errorf("%s: %v", name, err)
	}
}
