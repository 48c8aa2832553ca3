package lock

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/authority"
	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/libs/tlsfiles"
)

// An etcd that asks its clients for certificates gives the lock to who has one of its CA, and to nobody else.
func TestEtcdByTLS(t *testing.T) {
	ca, err := authority.New("test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	url := secured(t, ca, strings.TrimPrefix(testenv.Etcd(t)[0], "http://"))
	key, files := testenv.Namespace(t), issue(t, ca)
	take := func(files config.TLS, within time.Duration) error {
		secure, err := tlsfiles.Open("ticket.lock-etcd", files, discard())
		if err != nil {
			t.Fatal(err)
		}
		etcd, err := NewEtcd([]string{url}, secure, key, 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = etcd.Close() }()
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		claim, err := etcd.Take(ctx)
		if err != nil {
			return err
		}
		return claim.Release(ctx)
	}
	if err := take(files, 10*time.Second); err != nil {
		t.Error(err)
	}
	for name, wrong := range map[string]config.TLS{
		"no certificate": {CAFile: files.CAFile},
		"another's CA":   {CertFile: files.CertFile, KeyFile: files.KeyFile},
	} {
		if err := take(wrong, time.Second); err == nil || errors.Is(err, ErrTaken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// issue writes a certificate, its key and its CA.
func issue(t *testing.T, ca *authority.Authority) config.TLS {
	t.Helper()
	cert, key, err := ca.Issue(authority.Request{Name: "ticket-service", Hosts: []string{"127.0.0.1"}, Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := config.TLS{CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key"), CAFile: filepath.Join(dir, "ca.crt")}
	for file, text := range map[string][]byte{files.CertFile: cert, files.KeyFile: key, files.CAFile: ca.Cert()} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// secured puts TLS with certificates on both sides before a server that has none.
func secured(t *testing.T, ca *authority.Authority, server string) (url string) {
	t.Helper()
	files := issue(t, ca)
	own, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.Cert())
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{own}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go forward(conn, server)
		}
	}()
	return "https://" + listener.Addr().String()
}

// forward carries bytes both ways until one side ends.
func forward(conn net.Conn, server string) {
	defer conn.Close()
	behind, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer behind.Close()
	go func() {
		_, _ = io.Copy(behind, conn)
		_ = behind.Close()
	}()
	_, _ = io.Copy(conn, behind)
}
