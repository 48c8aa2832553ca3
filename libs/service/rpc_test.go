package service

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/littlevote/littlevote/libs/config"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	"github.com/littlevote/littlevote/proto/gen/littlevote/query/v1/queryv1connect"
)

// httpClient speaks HTTP/1.1, or HTTP/2 only.
func httpClient(t *testing.T, http2 bool, files config.TLS) *http.Client {
	t.Helper()
	var secure *tls.Config
	if files != (config.TLS{}) {
		secure = open(t, files).files.Client(t.Context())
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	protocols.SetUnencryptedHTTP2(http2 && secure == nil)
	transport := &http.Transport{Protocols: protocols, TLSClientConfig: secure}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestOnePortSpeaksAllProtocols(t *testing.T) {
	ca := newAuthority(t)
	mutual := ca.issue(t, "server")
	serverOnly := mutual
	serverOnly.CAFile = ""
	set := map[string]struct{ server, client config.TLS }{
		"plaintext":  {},
		"TLS":        {serverOnly, config.TLS{CAFile: ca.file}},
		"mutual TLS": {mutual, ca.issue(t, "client")},
	}
	for name, files := range set {
		t.Run(name, func(t *testing.T) {
			server := start(t, answering("main"), files.server)
			scheme := "http://"
			if files.server.CertFile != "" {
				scheme = "https://"
			}
			h1, h2 := httpClient(t, false, files.client), httpClient(t, true, files.client)
			url := scheme + server.Addr()
			clients := map[string]func(context.Context, *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error){
				"gRPC by Connect":       queryv1connect.NewQueryServiceClient(h2, url, connect.WithGRPC()).GetTallies,
				"gRPC-Web, HTTP/1":      queryv1connect.NewQueryServiceClient(h1, url, connect.WithGRPCWeb()).GetTallies,
				"Connect, HTTP/1":       queryv1connect.NewQueryServiceClient(h1, url).GetTallies,
				"Connect, HTTP/2, JSON": queryv1connect.NewQueryServiceClient(h2, url, connect.WithProtoJSON()).GetTallies,
				"Connect, GET":          queryv1connect.NewQueryServiceClient(h1, url, connect.WithHTTPGet()).GetTallies,
				"grpc-go": func(ctx context.Context, req *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
					return dial(t, server.Addr(), files.client).GetTallies(ctx, req)
				},
			}
			for name, call := range clients {
				answer, err := call(t.Context(), &queryv1.GetTalliesRequest{})
				if err != nil || answer.GetTallies()[0].GetBallot() != "main" {
					t.Errorf("%s: %v, %v", name, answer, err)
				}
			}
		})
	}
}

func TestMutualTLSRefusesStrangers(t *testing.T) {
	ca := newAuthority(t)
	server := start(t, answering("main"), ca.issue(t, "server"))
	stranger := newAuthority(t).issue(t, "stranger")
	stranger.CAFile = ca.file
	for name, files := range map[string]config.TLS{"without a certificate": {CAFile: ca.file}, "with one of another CA": stranger} {
		_, err := dial(t, server.Addr(), files).GetTallies(t.Context(), &queryv1.GetTalliesRequest{})
		if status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v, want Unavailable", name, err)
		}
	}
}

func TestReflectionAndHealth(t *testing.T) {
	server := start(t, answering("main"), config.TLS{})
	conn, err := Dial(server.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	want := []string{"grpc.health.v1.Health", "littlevote.query.v1.QueryService", "littlevote.vote.v1.VoteService"}

	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list := &reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(list); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, service := range answer.GetListServicesResponse().GetService() {
		names = append(names, service.GetName())
	}
	slices.Sort(names)
	if !slices.Equal(names, want) {
		t.Errorf("services = %q, want %q", names, want)
	}
	alpha, err := reflectionv1alpha.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context()) //nolint:staticcheck // Old tools.
	if err != nil {
		t.Fatal(err)
	}
	if err := alpha.Send(&reflectionv1alpha.ServerReflectionRequest{ //nolint:staticcheck // Old tools.
		MessageRequest: &reflectionv1alpha.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: want[2]}, //nolint:staticcheck // Old tools.
	}); err != nil {
		t.Fatal(err)
	}
	if answer, err := alpha.Recv(); err != nil || len(answer.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 { //nolint:staticcheck // Old tools.
		t.Errorf("v1alpha: %v, %v", answer, err)
	}

	health := healthv1.NewHealthClient(conn)
	for _, name := range append(want[1:], "") {
		answer, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: name})
		if err != nil || answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("health of %q: %v, %v", name, answer, err)
		}
	}
	if _, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: "other"}); status.Code(err) != codes.NotFound {
		t.Errorf("health of an unknown service: %v", err)
	}
	server.health.Drain()
	if answer, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil || answer.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health while draining: %v, %v", answer, err)
	}
}

func TestPlainJSON(t *testing.T) {
	server := start(t, answering("main"), config.TLS{})
	answer, err := http.Post("http://"+server.Addr()+queryv1connect.QueryServiceGetTalliesProcedure, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var got struct{ Tallies []struct{ Ballot string } }
	if err := json.NewDecoder(answer.Body).Decode(&got); err != nil || got.Tallies[0].Ballot != "main" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestMessagesOverTheLimitAreRefused(t *testing.T) {
	server := start(t, answering("main"), config.TLS{})
	req := &queryv1.GetTalliesRequest{Reads: []*queryv1.TallyRead{{Ballot: strings.Repeat("x", readLimit)}}}
	_, err := dial(t, server.Addr(), config.TLS{}).GetTallies(t.Context(), req)
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("error = %v, want ResourceExhausted", err)
	}
	gzip := queryv1connect.NewQueryServiceClient(httpClient(t, false, config.TLS{}), "http://"+server.Addr(), connect.WithSendGzip())
	if _, err := gzip.GetTallies(t.Context(), req); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("compressed: error = %v, want ResourceExhausted", err)
	}
}

// TestDrain stops a server with a call in flight, an idle client and an open reflection stream.
// wire is what a client sees of an answer on its way.
type wire struct{ plain, sent int }

func (*wire) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (*wire) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (*wire) HandleConn(context.Context, stats.ConnStats)                       {}
func (w *wire) HandleRPC(_ context.Context, event stats.RPCStats) {
	if in, ok := event.(*stats.InPayload); ok {
		w.plain, w.sent = in.Length, in.CompressedLength
	}
}

// Clients take gzip as soon as anything in their process imports it, as the exporter of spans does. The answers to a batch of votes
// are not to pay for that.
func TestAnswersToBatchesAreNotCompressed(t *testing.T) {
	for size, compressed := range map[int]bool{512 << 10: false, 2 << 20: true} {
		server := start(t, answering(strings.Repeat("main", size/4)), config.TLS{})
		seen := &wire{}
		conn, err := Dial(server.Addr(), nil, grpc.WithStatsHandler(seen))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := queryv1.NewQueryServiceClient(conn).GetTallies(t.Context(), &queryv1.GetTalliesRequest{}); err != nil {
			t.Fatal(err)
		}
		if seen.plain < size || (seen.sent < size) != compressed {
			t.Errorf("%+v, want compressed: %v", *seen, compressed)
		}
		conn.Close()
	}
}

func TestDrain(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	blocking := fake{read: func(context.Context, *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
		close(entered)
		<-leave
		return &queryv1.GetTalliesResponse{}, nil
	}}
	server := start(t, blocking, config.TLS{})
	server.patience = time.Minute // An answer that comes only by cutting off would fail the test by its length.

	idle, err := Dial(server.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	stream, err := reflectionv1.NewServerReflectionClient(idle).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list := &reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(list); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	client := dial(t, server.Addr(), config.TLS{})
	go func() {
		_, err := client.GetTallies(t.Context(), &queryv1.GetTalliesRequest{})
		answered <- err
	}()
	receive(t, entered, "call")

	server.stop()
	if _, err := stream.Recv(); err == nil {
		t.Error("the reflection stream goes on")
	}
	if report := server.health.Report(t.Context()); report.Ready || !report.Draining {
		t.Errorf("report = %+v, want draining", report)
	}
	select {
	case err := <-server.ended:
		t.Fatalf("Run ended with a call in flight: %v", err)
	default:
	}
	if conn, err := net.Dial("tcp", server.Addr()); err == nil {
		_ = conn.Close()
		t.Error("the port still takes connections")
	}
	close(leave)
	if err := receive(t, answered, "answer"); err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	if err := receive(t, server.ended, "end of Run"); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestDrainCutsOffAtLast(t *testing.T) {
	entered := make(chan struct{})
	stubborn := fake{read: func(ctx context.Context, _ *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
		close(entered)
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	server := start(t, stubborn, config.TLS{})
	server.patience = 10 * time.Millisecond
	answered := make(chan error, 1)
	client := dial(t, server.Addr(), config.TLS{})
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), MaxDeadline)
		defer cancel()
		_, err := client.GetTallies(ctx, &queryv1.GetTalliesRequest{})
		answered <- err
	}()
	receive(t, entered, "call")
	server.stop()
	if err := receive(t, server.ended, "end of Run"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run = %v, want the deadline of the drain", err)
	}
	if err := receive(t, answered, "answer"); err == nil {
		t.Error("the call in flight succeeded")
	}
}

func TestRunEndsWhenItCannotServe(t *testing.T) {
	server := start(t, answering("main"), config.TLS{})
	_ = server.listener.Close()
	if err := receive(t, server.ended, "end of Run"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run = %v", err)
	}
}

func TestCloseGivesThePortBack(t *testing.T) {
	first, err := NewRPC("127.0.0.1:0", nil, NewHealth())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewRPC(first.Addr(), nil, NewHealth()); err == nil {
		t.Error("two servers on one port")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := NewRPC(first.Addr(), nil, NewHealth())
	if err != nil {
		t.Fatal(err)
	}
	_ = second.Close()
}

// TestSlowMessageIsGivenUp sends half a message and then nothing.
func TestSlowMessageIsGivenUp(t *testing.T) {
	read := make(chan error, 1)
	handler := limitTime(20*time.Millisecond, time.Minute, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		read <- err
	}))
	for name, http2 := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(handler)
			server.Config.Protocols = new(http.Protocols)
			server.Config.Protocols.SetHTTP1(true)
			server.Config.Protocols.SetUnencryptedHTTP2(true)
			server.Start()
			defer server.Close()
			body, feed := io.Pipe()
			defer feed.Close()
			go func() { _, _ = io.Copy(feed, bytes.NewReader([]byte("half"))) }()
			go func() {
				answer, err := httpClient(t, http2, config.TLS{}).Post(server.URL, "application/proto", body)
				if err == nil {
					_ = answer.Body.Close()
				}
			}()
			if err := receive(t, read, "end of the message"); err == nil {
				t.Error("half a message was taken for a whole one")
			}
		})
	}
}

func TestServerRefusesOldTLS(t *testing.T) {
	files := newAuthority(t).issue(t, "server")
	files.CAFile = ""
	server := start(t, answering("main"), files)
	old := &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true} //nolint:gosec // To be refused.
	if conn, err := tls.Dial("tcp", server.Addr(), old); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 was accepted")
	}
}
