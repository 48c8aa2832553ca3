package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/littlevote/littlevote/libs/authority"
	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/testenv"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	"github.com/littlevote/littlevote/proto/gen/littlevote/query/v1/queryv1connect"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

func TestTLSFilesThatCannotBeUsed(t *testing.T) {
	ca := newAuthority(t)
	good := ca.issue(t, "server")
	noKey, noCA, otherKey, half := good, good, good, good
	noKey.KeyFile, noCA.CAFile, otherKey.KeyFile = "/does/not/exist", good.KeyFile, ca.issue(t, "other").KeyFile
	half.CAFile = ca.write(t, "half.pem", append(ca.Cert(), ca.Cert()[:100]...))
	ended := ca.issue(t, "ended")
	cert, key, err := ca.Issue(authority.Request{Name: "ended", Life: -time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ended.CertFile, ended.KeyFile = ca.write(t, "ended.pem", cert), ca.write(t, "ended.key", key)
	for name, test := range map[string]struct {
		files config.TLS
		key   string
	}{
		"no key": {noKey, "tls.key-file"}, "no CA": {noCA, "tls.ca-file"}, "another's key": {otherKey, "tls.cert-file"},
		"half a bundle": {half, "tls.ca-file"}, "an old certificate": {ended, "tls.cert-file"},
	} {
		_, err := ClientTLS(test.files, slog.New(slog.DiscardHandler))
		var keyed *config.KeyError
		if !errors.As(err, &keyed) || keyed.Key != test.key {
			t.Errorf("%s: error = %v, want one of %s", name, err, test.key)
		}
	}
	var keyed *config.KeyError
	if _, err := NewRPC("127.0.0.1:0", open(t, config.TLS{CAFile: ca.file}), NewHealth()); !errors.As(err, &keyed) || keyed.Key != "tls.cert-file" {
		t.Errorf("a server that could ask nobody: %v", err)
	}
}

// mounted is a folder of files as Kubernetes mounts a secret: each is a link into ..data, which is a link that is swapped.
type mounted struct {
	dir     string
	version int
}

func newMounted(t *testing.T, from *testCA, bundle []byte) *mounted {
	t.Helper()
	m := &mounted{dir: t.TempDir()}
	m.put(t, from, bundle)
	for _, name := range []string{"tls.crt", "tls.key", "ca.crt"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(m.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m *mounted) files() config.TLS {
	return config.TLS{
		CertFile: filepath.Join(m.dir, "tls.crt"), KeyFile: filepath.Join(m.dir, "tls.key"), CAFile: filepath.Join(m.dir, "ca.crt"),
	}
}

// put swaps in a new certificate and a bundle.
func (m *mounted) put(t *testing.T, from *testCA, bundle []byte) {
	t.Helper()
	cert, key, err := from.Issue(authority.Request{Name: "renewed", URIs: []*url.URL{Gateway.URI()}, Hosts: []string{"127.0.0.1"}, Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	m.version++
	version := fmt.Sprintf("..%d", m.version)
	errs := []error{os.Mkdir(filepath.Join(m.dir, version), 0o700)}
	for name, text := range map[string][]byte{"tls.crt": cert, "tls.key": key, "ca.crt": bundle} {
		errs = append(errs, os.WriteFile(filepath.Join(m.dir, version, name), text, 0o600))
	}
	next := filepath.Join(m.dir, "..next")
	if err := errors.Join(append(errs, os.Symlink(version, next), os.Rename(next, filepath.Join(m.dir, "..data")))...); err != nil {
		t.Fatal(err)
	}
}

// TestRotationUnderLoad exchanges the CA by the rules of the order (both CAs, then the new certificates, then the new CA alone)
// while calls go on: none fails, and at the end who has a certificate of the old CA is out, though connected all the time.
func TestRotationUnderLoad(t *testing.T) {
	before, after := newAuthority(t), newAuthority(t)
	serving, calling := newMounted(t, before, before.Cert()), newMounted(t, before, before.Cert())
	server := start(t, answering("main"), serving.files())
	secure := open(t, calling.files())
	conn, err := Dial(server.Addr(), secure)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	left := dial(t, server.Addr(), before.issue(t, "left-behind"))
	who(t, left)

	calls, stop := callOn(t, conn)
	defer stop()
	both := slices.Concat(before.Cert(), after.Cert())
	for i, step := range []struct {
		ca     *testCA
		bundle []byte
	}{{before, both}, {after, both}, {after, after.Cert()}} {
		served, called := server.tls.files.Now(), secure.files.Now()
		serving.put(t, step.ca, step.bundle)
		calling.put(t, step.ca, step.bundle)
		testenv.Eventually(t, 30*time.Second, func() error {
			if server.tls.files.Now() == served || secure.files.Client(t.Context()) == nil || secure.files.Now() == called {
				return fmt.Errorf("step %d is not in force", i+1)
			}
			return nil
		})
		seen := calls.Load()
		testenv.Eventually(t, 30*time.Second, func() error {
			if calls.Load() < seen+50 {
				return fmt.Errorf("no calls after step %d", i+1)
			}
			return nil
		})
	}
	testenv.Eventually(t, 20*time.Second, func() error {
		_, err := left.GetTallies(t.Context(), &queryv1.GetTalliesRequest{})
		if status.Code(err) != codes.Unavailable {
			return fmt.Errorf("a client of the old CA has %s, want Unavailable", status.Code(err))
		}
		return nil
	})
}

// callOn calls from four at a time until it is stopped; each call must succeed.
func callOn(t *testing.T, conn *grpc.ClientConn) (calls *atomic.Int64, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	calls = &atomic.Int64{}
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			client := queryv1.NewQueryServiceClient(conn)
			for ctx.Err() == nil {
				if _, err := client.GetTallies(context.WithoutCancel(ctx), &queryv1.GetTalliesRequest{}); err != nil {
					t.Errorf("after %d calls: %v", calls.Load(), err)
					return
				}
				calls.Add(1)
			}
		})
	}
	return calls, func() {
		cancel()
		load.Wait()
	}
}

func TestBrokenFilesLeaveTheOldOnes(t *testing.T) {
	ca := newAuthority(t)
	files := ca.issue(t, "server")
	reader := sdk.NewManualReader()
	health, log := NewHealth(), &logBuffer{}
	secure, err := OpenTLS(files, false, Host{
		Log: slog.New(slog.NewTextHandler(log, nil)), Health: health, Meter: sdk.NewMeterProvider(sdk.WithReader(reader)).Meter("test"),
	})
	if err != nil {
		t.Fatal(err)
	}
	rpc, err := NewRPC("127.0.0.1:0", secure, health)
	if err != nil {
		t.Fatal(err)
	}
	run(t, rpc.Server)
	if left := gauge(t, reader, "tls.certificate.left"); left < 3500 || left > 3600 {
		t.Errorf("the certificate is said to end in %v s, want an hour", left)
	}
	if err := os.WriteFile(files.CertFile, []byte("half a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 20*time.Second, func() error {
		if degraded := strings.Join(health.Report(t.Context()).Degraded, " "); !strings.Contains(degraded, "can't be used") {
			return errors.New("readyz says nothing: " + degraded)
		}
		return nil
	})
	if !strings.Contains(log.String(), "tls.cert-file") {
		t.Errorf("the log does not name the setting:\n%s", log)
	}
	conn, err := Dial(rpc.Addr(), open(t, ca.issue(t, "client")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
		t.Errorf("with the files that were good: %v", err)
	}
}

// gauge reads the one value of a metric.
func gauge(t *testing.T, reader sdk.Reader, name string) float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if data, ok := m.Data.(metricdata.Gauge[float64]); ok && m.Name == name && len(data.DataPoints) == 1 {
				return data.DataPoints[0].Value
			}
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestCallersByKind: what a certificate says decides, before a byte of the message is looked at.
func TestCallersByKind(t *testing.T) {
	ca := newAuthority(t)
	server := start(t, answering("main"), ca.issue(t, "server"))
	other := *Gateway.URI()
	other.Host = "example.org"
	deep := *Gateway.URI()
	deep.Path += "/x"
	for name, test := range map[string]struct {
		uris []*url.URL
		want codes.Code
	}{
		"gateway":           {[]*url.URL{Gateway.URI()}, codes.OK},
		"persister":         {[]*url.URL{Persister.URI()}, codes.PermissionDenied},
		"operator":          {[]*url.URL{Operator.URI()}, codes.PermissionDenied},
		"without a kind":    {nil, codes.PermissionDenied},
		"of another domain": {[]*url.URL{&other}, codes.PermissionDenied},
		"of a longer path":  {[]*url.URL{&deep}, codes.PermissionDenied},
		"with two":          {[]*url.URL{Gateway.URI(), Persister.URI()}, codes.PermissionDenied},
		"of no kind":        {[]*url.URL{Kind("root").URI()}, codes.PermissionDenied},
	} {
		files := ca.issueFor(t, "client", test.uris...)
		_, err := dial(t, server.Addr(), files).GetTallies(t.Context(), &queryv1.GetTalliesRequest{})
		if status.Code(err) != test.want {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
		if detail, ok := Detail(err); err != nil && (!ok || detail.GetCode() != statusv1.Code_CODE_PERMISSION_DENIED) {
			t.Errorf("%s: detail %v", name, detail)
		}
	}
}

// TestRefusedBeforeTheMessage: the message never comes, and the answer is there.
func TestRefusedBeforeTheMessage(t *testing.T) {
	ca := newAuthority(t)
	server := start(t, answering("main"), ca.issue(t, "server"))
	client := httpClient(t, false, ca.issueFor(t, "client", Persister.URI()))
	for _, contentType := range []string{"application/proto", "application/grpc-web+proto", "text/odd"} {
		never, writer := io.Pipe()
		url := "https://" + server.Addr() + "/" + queryv1connect.QueryServiceName + "/GetTallies"
		answer, err := client.Post(url, contentType, never)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		said := string(text) + answer.Header.Get("Grpc-Message")
		if err != nil || !strings.Contains(said, "persister may not call this") {
			t.Errorf("%s: %s %q %v", contentType, answer.Status, said, err)
		}
		_ = answer.Body.Close()
		_ = writer.Close()
	}
}

// TestCallersOfWhatEveryPortHas: health is for every kind, reflection for operators.
func TestCallersOfWhatEveryPortHas(t *testing.T) {
	ca := newAuthority(t)
	server := start(t, answering("main"), ca.issue(t, "server"))
	for _, kind := range append(Kinds(), nobody) {
		conn, err := Dial(server.Addr(), open(t, ca.issueFor(t, string(kind), kind.URI())))
		if err != nil {
			t.Fatal(err)
		}
		_, err = healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
		if allowed := err == nil; allowed != (kind != nobody) {
			t.Errorf("health for %s: %v", kind, err)
		}
		stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		err = stream.Send(&reflectionv1.ServerReflectionRequest{
			MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{},
		})
		if err == nil || errors.Is(err, io.EOF) {
			_, err = stream.Recv()
		}
		if allowed := err == nil; allowed != (kind == Operator) || !allowed && status.Code(err) != codes.PermissionDenied {
			t.Errorf("reflection for %s: %v", kind, err)
		}
		_ = conn.Close()
	}
}

// TestNobodyAskedIsAWeakPromise, but in development.
func TestNobodyAskedIsAWeakPromise(t *testing.T) {
	for dev, want := range map[bool][]string{false: {nobodyAsked}, true: nil} {
		health, log := NewHealth(), &logBuffer{}
		secure, err := OpenTLS(config.TLS{}, dev, Host{Log: slog.New(slog.NewTextHandler(log, nil)), Health: health})
		if err != nil {
			t.Fatal(err)
		}
		rpc, err := NewRPC("127.0.0.1:0", secure, health, Mount{Name: "x", Path: "/x/", Handler: http.NotFoundHandler()})
		if err != nil {
			t.Fatal(err)
		}
		if weak := health.Report(t.Context()).Weak; !slices.Equal(weak, want) || strings.Contains(log.String(), nobodyAsked) == dev {
			t.Errorf("dev %v: weak %v, log:\n%s", dev, weak, log)
		}
		_ = rpc.Close()
	}
}
