package system

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/littlevote/littlevote/libs/authority"
	"github.com/littlevote/littlevote/tools/internal/scope"
)

const (
	// certificatesLast is longer than any run.
	certificatesLast = 24 * time.Hour
	// rereadTimeout bounds the wait for processes to read files again, which they look at once a second.
	rereadTimeout = 30 * time.Second
)

// certificates are those of a system whose services know each other by them. Each kind has its own, for all its replicas.
type certificates struct {
	dir     string
	ca      *authority.Authority
	trusted []byte // all authorities that are believed, as PEM
}

func newCertificates(t scope.Scope, dir string) *certificates {
	t.Helper()
	c := &certificates{dir: filepath.Join(dir, "tls")}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c.another(t)
	c.issue(t)
	return c
}

func (c *certificates) path(name string) string { return filepath.Join(c.dir, name) }

// another makes an authority that is believed beside those before it.
func (c *certificates) another(t scope.Scope) {
	t.Helper()
	var err error
	if c.ca, err = authority.New("test", certificatesLast); err != nil {
		t.Fatal(err)
	}
	c.trusted = append(c.trusted, c.ca.Cert()...)
	replace(t, c.path("ca.pem"), c.trusted)
}

// issue makes a new certificate for each kind, and for the tools, which call as a gateway does.
func (c *certificates) issue(t scope.Scope) {
	t.Helper()
	for _, kind := range Kinds() {
		cert, key, err := c.ca.Issue(authority.Request{
			Name: string(kind), Hosts: []string{"127.0.0.1", "localhost"}, Life: certificatesLast,
			URIs: []*url.URL{{Scheme: "spiffe", Host: "littlevote", Path: "/" + string(kind)}},
		})
		if err != nil {
			t.Fatal(err)
		}
		replace(t, c.path(string(kind)+".key"), key) // for a moment they do not fit, which must not matter
		replace(t, c.path(string(kind)+".pem"), cert)
	}
}

func (c *certificates) flags(kind Kind) []string {
	return []string{
		"--tls-cert-file=" + c.path(string(kind)+".pem"), "--tls-key-file=" + c.path(string(kind)+".key"), "--tls-ca-file=" + c.path("ca.pem"),
	}
}

// replace exchanges a file at once.
func replace(t scope.Scope, file string, content []byte) {
	t.Helper()
	err := os.WriteFile(file+".new", content, 0o600)
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Credentials are those with which a tool calls the services: of a gateway, where the system has certificates.
func (s *System) Credentials() credentials.TransportCredentials {
	if s.certificates == nil {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS12,
		// All is read for each connection, since it may have been exchanged; so the check is our own.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			trusted, err := os.ReadFile(s.certificates.path("ca.pem"))
			if err != nil {
				return err
			}
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(trusted)
			_, err = state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: "127.0.0.1"})
			return err
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(s.certificates.path("gateway.pem"), s.certificates.path("gateway.key"))
			return &pair, err
		},
	})
}

// RenewCertificates gives every kind a new one, and waits until all processes have read theirs.
func (s *System) RenewCertificates(t scope.Scope) {
	t.Helper()
	s.afterReread(t, "tls", func() { s.certificates.issue(t) })
}

// AnotherAuthority makes a CA that is believed beside the one before it, and signs from then on.
func (s *System) AnotherAuthority(t scope.Scope) {
	t.Helper()
	s.afterReread(t, "tls", func() { s.certificates.another(t) })
}

// ForgetAuthorities lets nobody believe any CA but the newest.
func (s *System) ForgetAuthorities(t scope.Scope) {
	t.Helper()
	s.afterReread(t, "tls", func() {
		s.certificates.trusted = bytes.Clone(s.certificates.ca.Cert())
		replace(t, s.certificates.path("ca.pem"), s.certificates.trusted)
	})
}

// NewTicketKey is a secret that tickets may be signed with, as it stands in the file.
func NewTicketKey() string {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	return hex.EncodeToString(secret)
}

// TicketKeys are those of the file, the one that signs first.
func (s *System) TicketKeys(t scope.Scope) []string {
	t.Helper()
	text, err := os.ReadFile(s.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(text))
}

// SetTicketKeys writes the file, and waits until all who have it have read it.
func (s *System) SetTicketKeys(t scope.Scope, keys ...string) {
	t.Helper()
	s.afterReread(t, "ticket.key-file", func() { replace(t, s.keyFile, []byte(strings.Join(keys, "\n")+"\n")) }, Ticket, Vote, Gateway)
}

// afterReread waits until each process says once more that the files of a setting are in force.
func (s *System) afterReread(t scope.Scope, setting string, change func(), kinds ...Kind) {
	t.Helper()
	if len(kinds) == 0 {
		kinds = Kinds()
	}
	const line = `"msg":"files were read again and are in force"`
	count := func(one *Service) int {
		n := 0
		for l := range strings.Lines(one.Stderr()) {
			if strings.Contains(l, line) && strings.Contains(l, `"setting":"`+setting) {
				n++
			}
		}
		return n
	}
	before := map[string]int{}
	for _, kind := range kinds {
		for _, one := range s.services[kind] {
			before[one.ID()] = count(one)
		}
	}
	change()
	for _, kind := range kinds {
		for _, one := range s.services[kind] {
			scope.Eventually(t, rereadTimeout, func() error {
				if count(one) == before[one.ID()] {
					return fmt.Errorf("%s has not read the files of %s again", one.ID(), setting)
				}
				return nil
			})
		}
	}
}
