// Package otlp is a collector of traces for tests: it takes spans by OTLP over gRPC, as every process sends them, and keeps them.
package otlp

import (
	"context"
	"encoding/hex"
	"net"
	"strconv"
	"sync"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // as processes send it

	"github.com/littlevote/littlevote/tools/internal/scope"
	"github.com/littlevote/littlevote/tools/internal/votetrace"
)

// Receiver keeps what was sent.
type Receiver struct {
	collectorv1.UnimplementedTraceServiceServer

	URL string // for trace.endpoint

	mu    sync.Mutex
	spans []*votetrace.Span
}

// Start takes spans until the scope ends.
func Start(t scope.Scope) *Receiver {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Receiver{URL: "http://" + listener.Addr().String()}
	server := grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(server, r)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // until it is stopped
	}()
	t.Cleanup(func() { server.Stop(); <-ended })
	return r
}

// Export implements the TraceService.
func (r *Receiver) Export(_ context.Context, sent *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range sent.GetResourceSpans() {
		service := attributes(resource.GetResource().GetAttributes())["service.name"]
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				r.spans = append(r.spans, read(service, span))
			}
		}
	}
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

// Spans are all that have come so far.
func (r *Receiver) Spans() votetrace.Spans {
	r.mu.Lock()
	defer r.mu.Unlock()
	return votetrace.New(r.spans)
}

func read(service string, from *tracev1.Span) *votetrace.Span {
	start := time.Unix(0, int64(from.GetStartTimeUnixNano()))
	span := &votetrace.Span{
		ID: id(from.GetTraceId(), from.GetSpanId()), Parent: hex.EncodeToString(from.GetParentSpanId()), Service: service, Name: from.GetName(),
		Start: start, Took: time.Unix(0, int64(from.GetEndTimeUnixNano())).Sub(start),
		Failed: from.GetStatus().GetCode() == tracev1.Status_STATUS_CODE_ERROR, Attributes: attributes(from.GetAttributes()),
	}
	for _, link := range from.GetLinks() {
		span.Links = append(span.Links, id(link.GetTraceId(), link.GetSpanId()))
	}
	return span
}

func id(trace, span []byte) votetrace.ID {
	return votetrace.ID{Trace: hex.EncodeToString(trace), Span: hex.EncodeToString(span)}
}

func attributes(list []*commonv1.KeyValue) map[string]string {
	all := map[string]string{}
	for _, one := range list {
		all[one.GetKey()] = text(one.GetValue())
	}
	return all
}

func text(value *commonv1.AnyValue) string {
	switch of := value.GetValue().(type) {
	case *commonv1.AnyValue_StringValue:
		return of.StringValue
	case *commonv1.AnyValue_IntValue:
		return strconv.FormatInt(of.IntValue, 10)
	case *commonv1.AnyValue_BoolValue:
		return strconv.FormatBool(of.BoolValue)
	case *commonv1.AnyValue_DoubleValue:
		return strconv.FormatFloat(of.DoubleValue, 'g', -1, 64)
	default:
		return value.String()
	}
}
