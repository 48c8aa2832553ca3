package service

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/tlsfiles"
	"github.com/littlevote/littlevote/libs/tracing"
)

// A collector that shows a certificate of our CA, and asks for one, gets the spans of whoever has one, and nobody else's; and one
// of another CA gets none.
func TestSpansAreSentByTLS(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	files, err := tlsfiles.Open("test", ours.issue(t, "collector"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int64
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(files.Server("h2"))), grpc.UnknownServiceHandler(
		func(_ any, stream grpc.ServerStream) error {
			if err := stream.RecvMsg(&emptypb.Empty{}); err != nil {
				return err
			}
			calls.Add(1)
			return stream.SendMsg(&emptypb.Empty{})
		}))
	t.Cleanup(server.Stop)
	go func() { _ = server.Serve(listener) }()

	send := func(files config.TLS) int64 {
		t.Helper()
		before := calls.Load()
		tracer, end, err := NewTracer("test", config.Trace{
			Endpoint: "https://" + listener.Addr().String(), Ratio: 1, CAFile: files.CAFile, CertFile: files.CertFile, KeyFile: files.KeyFile,
		}, noop.Meter{}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		_, span := tracing.Root(t.Context(), tracer, "vote")
		span.End()
		_ = end(context.Background())
		return calls.Load() - before
	}
	good := ours.issue(t, "gateway")
	if n := send(good); n != 1 {
		t.Errorf("%d calls with the right files", n)
	}
	if n := send(config.TLS{CAFile: good.CAFile}); n != 0 {
		t.Errorf("%d calls without a certificate", n)
	}
	if n := send(others.issue(t, "gateway")); n != 0 {
		t.Errorf("%d calls to a collector of another CA", n)
	}
	if _, _, err := NewTracer("test", config.Trace{Endpoint: "https://h:4317", CAFile: "no-such-file"}, noop.Meter{}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a CA file that is not there")
	}
}
