package service

import (
	"context"
	"log/slog"
	"time"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/littlevote/littlevote/libs/tracing"
)

// MeasureCalls is an option of Dial: the time of each call by procedure and code. Make it once, and give it to each Dial.
func MeasureCalls(meter metric.Meter, log *slog.Logger) grpc.DialOption {
	calls := newDuration(meter, "rpc.client.call.duration", "Duration of the calls that this process makes, by procedure and code.", log)
	return grpc.WithChainUnaryInterceptor(func(
		ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
	) error {
		begin := time.Now()
		err := invoke(ctx, method, req, reply, conn, opts...)
		calls.record(ctx, procedureOf(method), connect.Code(status.Code(err)), begin)
		return err
	})
}

// withSpan makes a span of a call whose caller is traced, and tells the other side of it. Where the caller has been decided on and
// is not traced, the other side is told that, or it would decide again.
func withSpan(
	ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return invoke(ctx, method, req, reply, conn, opts...)
	}
	ctx, span := tracing.StartKind(ctx, trace.SpanKindClient, procedureOf(method))
	err := invoke(tell(ctx), method, req, reply, conn, opts...)
	code := connect.Code(status.Code(err))
	endCall(span, procedureOf(method), code, code != codeOK)
	return err
}

// tell puts the span in ctx into the headers of the call that is made with what it returns.
func tell(ctx context.Context) context.Context {
	headers, _ := metadata.FromOutgoingContext(ctx) // a copy
	if headers == nil {
		headers = metadata.MD{}
	}
	tracing.Inject(ctx, carrier(headers))
	return metadata.NewOutgoingContext(ctx, headers)
}

// carrier is the headers of a call as package propagation wants them.
type carrier metadata.MD

// Get is part of propagation.TextMapCarrier.
func (c carrier) Get(key string) string {
	if values := metadata.MD(c).Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// Set is part of propagation.TextMapCarrier.
func (c carrier) Set(key, value string) { metadata.MD(c).Set(key, value) }

// Keys is part of propagation.TextMapCarrier.
func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for key := range c {
		keys = append(keys, key)
	}
	return keys
}
