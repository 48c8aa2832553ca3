package service

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/config"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	"github.com/littlevote/littlevote/proto/gen/littlevote/query/v1/queryv1connect"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
	"github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1/votev1connect"
)

// fake is both services; each answers with one function.
type fake struct {
	queryv1connect.UnimplementedQueryServiceHandler
	votev1connect.UnimplementedVoteServiceHandler

	read func(ctx context.Context, req *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error)
	cast func(ctx context.Context, req *votev1.CastVotesRequest) (*votev1.CastVotesResponse, error)
}

func (f fake) GetTallies(ctx context.Context, req *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
	return f.read(ctx, req)
}

func (f fake) CastVotes(ctx context.Context, req *votev1.CastVotesRequest) (*votev1.CastVotesResponse, error) {
	return f.cast(ctx, req)
}

// answering reads as one tally of the ballot named.
func answering(ballot string) fake {
	return fake{read: func(context.Context, *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
		return &queryv1.GetTalliesResponse{Tallies: []*queryv1.Tally{{Ballot: ballot}}}, nil
	}}
}

// running is an RPC server that the test may stop.
type running struct {
	*RPC
	health *Health
	log    *logBuffer
	stop   context.CancelFunc
	ended  <-chan error
}

// start runs a server on a free port until the test ends or calls stop.
func start(t *testing.T, f fake, files config.TLS) *running {
	t.Helper()
	return startAt(t, "127.0.0.1:0", f, files)
}

func startAt(t *testing.T, listen string, f fake, files config.TLS) *running {
	t.Helper()
	logs, health := &logBuffer{}, NewHealth()
	options := HandlerOptions(Host{Log: slog.New(slog.NewTextHandler(logs, nil))})
	readPath, readHandler := queryv1connect.NewQueryServiceHandler(f, options...)
	castPath, castHandler := votev1connect.NewVoteServiceHandler(f, options...)
	rpc, err := NewRPC(listen, files, health,
		Mount{Name: queryv1connect.QueryServiceName, Path: readPath, Handler: readHandler},
		Mount{Name: votev1connect.VoteServiceName, Path: castPath, Handler: castHandler},
	)
	if err != nil {
		t.Fatal(err)
	}
	stop, ended := run(t, rpc.Server)
	return &running{RPC: rpc, health: health, log: logs, stop: stop, ended: ended}
}

// run runs a server until the test ends or calls stop.
func run(t *testing.T, server *Server) (stop context.CancelFunc, ended <-chan error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	result, done := make(chan error, 1), make(chan struct{})
	go func() {
		result <- server.Run(ctx)
		close(done)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return stop, result
}

// dial makes a client that the test closes.
func dial(t *testing.T, target string, files config.TLS) queryv1.QueryServiceClient {
	t.Helper()
	conn, err := Dial(target, files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return queryv1.NewQueryServiceClient(conn)
}

// logBuffer takes log lines from any goroutine.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// receive waits for a value, but not for ever.
func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(20 * time.Second):
		t.Fatal("no " + what)
		panic("unreachable")
	}
}

// authority signs certificates for one test.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.file = a.write(t, "ca.pem", "CERTIFICATE", der)
	return a
}

// issue makes a certificate for 127.0.0.1 and returns all three files.
func (a *authority) issue(t *testing.T, name string) config.TLS {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return config.TLS{
		CertFile: a.write(t, name+".pem", "CERTIFICATE", der),
		KeyFile:  a.write(t, name+".key", "PRIVATE KEY", keyDER),
		CAFile:   a.file,
	}
}

func (a *authority) write(t *testing.T, name, kind string, der []byte) string {
	t.Helper()
	file := filepath.Join(a.dir, name)
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
