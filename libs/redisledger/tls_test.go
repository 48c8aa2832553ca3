package redisledger_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/service/servicetest"
	"github.com/littlevote/littlevote/libs/testenv"
)

// secureRedis speaks TLS only, with who has a certificate of the CA. (Real servers of all kinds: tools/internal/deps.)
func secureRedis(t *testing.T, ca *servicetest.CA) string {
	t.Helper()
	files := ca.Issue(t, service.Persister)
	own, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.Cert())
	mini, err := miniredis.RunTLS(&tls.Config{
		Certificates: []tls.Certificate{own}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mini.Close)
	mini.RequireAuth("hunter2")
	return "rediss://:hunter2@" + mini.Addr()
}

func ping(t *testing.T, cfg config.Redis) error {
	t.Helper()
	cfg.PoolSize, cfg.Timeout = 2, 5*time.Second
	rdb, err := redisledger.Connect(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rdb.Close() }()
	return rdb.Ping(t.Context()).Err()
}

func TestRedisByTLS(t *testing.T) {
	ca, other := servicetest.NewCA(t), servicetest.NewCA(t)
	url := secureRedis(t, ca)
	mine, strange := ca.Issue(t, service.VoteService), other.Issue(t, service.VoteService)
	good := config.Redis{URL: url, CAFile: mine.CAFile, CertFile: mine.CertFile, KeyFile: mine.KeyFile}
	if err := ping(t, good); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*config.Redis){
		"its CA is not ours":       func(r *config.Redis) { r.CAFile = strange.CAFile },
		"the system's CAs":         func(r *config.Redis) { r.CAFile = "" },
		"without a certificate":    func(r *config.Redis) { r.CertFile, r.KeyFile = "", "" },
		"a stranger's certificate": func(r *config.Redis) { r.CertFile, r.KeyFile = strange.CertFile, strange.KeyFile },
		"in plaintext":             func(r *config.Redis) { r.URL = strings.Replace(url, "rediss", "redis", 1) },
		"by another name":          func(r *config.Redis) { r.URL = strings.Replace(url, "127.0.0.1", "127.0.0.2", 1) },
	} {
		bad := good
		change(&bad)
		if err := ping(t, bad); err == nil {
			t.Errorf("%s: connected", name)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows the password: %v", name, err)
		}
	}
	bad := good
	bad.CAFile = "/does/not/exist"
	var keyed *config.KeyError
	if _, err := redisledger.Connect(bad, slog.New(slog.DiscardHandler)); !errors.As(err, &keyed) || keyed.Key != "redis.ca-file" {
		t.Errorf("no CA file: %v", err)
	}
}

// TestRedisByTLSAfterRenewal: a client whose files were exchanged connects with the new ones.
func TestRedisByTLSAfterRenewal(t *testing.T) {
	ca, other := servicetest.NewCA(t), servicetest.NewCA(t)
	url := secureRedis(t, ca)
	mine := other.Issue(t, service.VoteService) // Refused at first.
	cfg := config.Redis{URL: url, PoolSize: 2, Timeout: 5 * time.Second, CAFile: ca.Issue(t, service.Gateway).CAFile, CertFile: mine.CertFile, KeyFile: mine.KeyFile}
	rdb, err := redisledger.Connect(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rdb.Close() }()
	if err := rdb.Ping(t.Context()).Err(); err == nil {
		t.Fatal("a stranger was let in")
	}
	good := ca.Issue(t, service.VoteService)
	for from, to := range map[string]string{good.CertFile: mine.CertFile, good.KeyFile: mine.KeyFile} {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	testenv.Eventually(t, 20*time.Second, func() error { return rdb.Ping(t.Context()).Err() })
}
