// Package tlsfiles makes TLS of files with certificates, keys and CAs, which are read again when they change.
//
// Invariants:
//   - A connection is made with what the files say at most a second before, as long as they can be used; what can't be used leaves
//     what was read before in force, and Problem says so.
//   - A session is never resumed: whoever may connect is decided anew for each connection.
package tlsfiles

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/reload"
)

// least is the oldest version that is spoken; two sides that can both speak 1.3 do.
const least = tls.VersionTLS12

// Files are a certificate with its key, and a CA; each may be missing.
type Files struct {
	group string
	log   *slog.Logger
	value *reload.Value[*Material]
}

// Material is what the files say at one time.
type Material struct {
	own  *tls.Certificate // nil: there is none
	pool *x509.CertPool   // nil: the system's
}

// Open reads the files. Errors name the settings, which stand in group ("tls").
func Open(group string, files config.TLS, log *slog.Logger) (*Files, error) {
	var paths []string
	if files.CertFile != "" {
		paths = append(paths, files.CertFile, files.KeyFile)
	}
	if files.CAFile != "" {
		paths = append(paths, files.CAFile)
	}
	parse := func(contents [][]byte) (*Material, error) {
		m := &Material{}
		if files.CertFile != "" {
			own, err := pair(contents[0], contents[1], time.Now())
			if err != nil {
				return nil, config.Errorf(group+".cert-file", "expected a certificate and its key: %v", err)
			}
			m.own, contents = own, contents[2:]
		}
		if files.CAFile != "" {
			pool, err := authorities(contents[0])
			if err != nil {
				return nil, config.Errorf(group+".ca-file", "expected PEM certificates in %q: %v", files.CAFile, err)
			}
			m.pool = pool
		}
		return m, nil
	}
	if err := readable(group, files); err != nil {
		return nil, err
	}
	value, err := reload.Open(group+".*-file", parse, paths...)
	if err != nil {
		return nil, err
	}
	return &Files{group: group, log: log, value: value}, nil
}

// readable says which of the settings names a file that can't be read.
func readable(group string, files config.TLS) error {
	for _, one := range []struct{ key, path string }{
		{"cert-file", files.CertFile}, {"key-file", files.KeyFile}, {"ca-file", files.CAFile},
	} {
		if one.path == "" {
			continue
		}
		if err := reload.Readable(one.path); err != nil {
			return config.Errorf(group+"."+one.key, "expected a readable file: %v", err)
		}
	}
	return nil
}

// pair reads a certificate chain and its key. Errors show nothing of the key.
func pair(chain, key []byte, now time.Time) (*tls.Certificate, error) {
	own, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, err
	}
	if own.Leaf == nil {
		if own.Leaf, err = x509.ParseCertificate(own.Certificate[0]); err != nil {
			return nil, err
		}
	}
	switch {
	case now.After(own.Leaf.NotAfter):
		return nil, fmt.Errorf("it has ended at %s", own.Leaf.NotAfter.Format(time.RFC3339))
	case now.Before(own.Leaf.NotBefore):
		return nil, fmt.Errorf("it is not valid before %s", own.Leaf.NotBefore.Format(time.RFC3339))
	}
	return &own, nil
}

// authorities reads a bundle. Unlike x509.AppendCertsFromPEM it refuses one that is broken in part: a half of a bundle would
// lock out those of the other half.
func authorities(text []byte) (*x509.CertPool, error) {
	pool, found := x509.NewCertPool(), false
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("there is a %s", block.Type)
		}
		one, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		pool.AddCert(one)
		found = true
	}
	switch {
	case strings.Contains(string(text), "-----"):
		return nil, errors.New("the file is broken")
	case !found:
		return nil, errors.New("there is none")
	}
	return pool, nil
}

// Now is what is in force.
func (f *Files) Now() *Material { return f.value.Now() }

// Ends is when the certificate in force ends; ok is false if there is none.
func (f *Files) Ends(ctx context.Context) (end time.Time, ok bool) {
	m := f.latest(ctx)
	if m.own == nil {
		return time.Time{}, false
	}
	return m.own.Leaf.NotAfter, true
}

// latest is what is in force after a look at the files.
func (f *Files) latest(ctx context.Context) *Material {
	f.value.Look(ctx, f.log)
	return f.value.Now()
}

// Run looks at the files until ctx ends, so that also who makes no connections hears of a change. It returns nil.
func (f *Files) Run(ctx context.Context) error { return f.value.Run(ctx, f.log) }

// Client is for one connection to be made now.
func (f *Files) Client(ctx context.Context) *tls.Config { return f.latest(ctx).client() }

// Server is for all connections to come. With a CA the clients must show certificates that come from it. The protocols are
// those of the next layer, such as h2.
func (f *Files) Server(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: least,
		NextProtos: protocols,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			return f.latest(hello.Context()).server(protocols), nil
		},
	}
}

// Dial makes connections, each with what the files say by then. The other side's certificate must be for the host in the
// address.
func (f *Files) Dial(plain *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return (&tls.Dialer{NetDialer: plain, Config: f.Client(ctx)}).DialContext(ctx, network, address)
	}
}

// Problem says in words for the operator what is wrong with the files, or with the certificate's time; empty if all is well.
func (f *Files) Problem() string {
	f.value.Look(context.Background(), f.log)
	if problem := f.value.Problem(); problem != "" {
		return problem
	}
	return f.Now().problem(f.group, time.Now())
}

// problem is a certificate's that should have been renewed: nine tenths of its time are over. cert-manager renews at two
// thirds.
func (m *Material) problem(group string, now time.Time) string {
	if m.own == nil {
		return ""
	}
	leaf := m.own.Leaf
	life, left := leaf.NotAfter.Sub(leaf.NotBefore), leaf.NotAfter.Sub(now)
	switch {
	case left <= 0:
		return group + ".cert-file: the certificate has ended at " + leaf.NotAfter.Format(time.RFC3339)
	case left < life/10:
		return group + ".cert-file: the certificate was not renewed in time, it ends at " + leaf.NotAfter.Format(time.RFC3339)
	default:
		return ""
	}
}

func (m *Material) client() *tls.Config {
	return &tls.Config{MinVersion: least, Certificates: m.certificates(), RootCAs: m.pool}
}

func (m *Material) server(protocols []string) *tls.Config {
	secure := &tls.Config{
		MinVersion: least, Certificates: m.certificates(), NextProtos: protocols,
		// A ticket of an earlier session would let in whom the files of today do not.
		SessionTicketsDisabled: true,
	}
	if m.pool != nil {
		secure.ClientCAs, secure.ClientAuth = m.pool, tls.RequireAndVerifyClientCert
	}
	return secure
}

func (m *Material) certificates() []tls.Certificate {
	if m.own == nil {
		return nil
	}
	return []tls.Certificate{*m.own}
}
