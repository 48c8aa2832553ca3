package service

import (
	"bytes"
	"context"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/authority"
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
	rpc, err := NewRPC(listen, open(t, files), health,
		Mount{Name: queryv1connect.QueryServiceName, Path: readPath, Handler: readHandler, Callers: Callers{"GetTallies": {Gateway}}},
		Mount{Name: votev1connect.VoteServiceName, Path: castPath, Handler: castHandler, Callers: Callers{"CastVotes": {Gateway}}},
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
	conn, err := Dial(target, open(t, files))
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

// testCA signs certificates for one test.
type testCA struct {
	*authority.Authority

	dir  string
	file string
}

func newAuthority(t *testing.T) *testCA {
	t.Helper()
	made, err := authority.New("test CA", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	a := &testCA{Authority: made, dir: t.TempDir()}
	a.file = a.write(t, "ca.pem", made.Cert())
	return a
}

// issue makes a certificate of a gateway's for 127.0.0.1 and returns all three files.
func (a *testCA) issue(t *testing.T, name string) config.TLS {
	t.Helper()
	return a.issueFor(t, name, Gateway.URI())
}

func (a *testCA) issueFor(t *testing.T, name string, uris ...*url.URL) config.TLS {
	t.Helper()
	cert, key, err := a.Issue(authority.Request{Name: name, URIs: uris, Hosts: []string{"127.0.0.1"}, Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return config.TLS{CertFile: a.write(t, name+".pem", cert), KeyFile: a.write(t, name+".key", key), CAFile: a.file}
}

func (a *testCA) write(t *testing.T, name string, text []byte) string {
	t.Helper()
	file := filepath.Join(a.dir, name)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// open opens files that are good.
func open(t *testing.T, files config.TLS) *TLS {
	t.Helper()
	secure, err := ClientTLS(files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return secure
}
