package spans_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/spans"
	"github.com/littlevote/littlevote/libs/tracing"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

func newTracer(sampler sdk.Sampler) (trace.Tracer, *tracetest.SpanRecorder) {
	recorder := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder), sdk.WithSampler(sampler))
	return provider.Tracer(tracing.Scope), recorder
}

func TestWithoutTracesADoorIsTheHandlerItself(t *testing.T) {
	handler := http.NewServeMux()
	if spans.NewDoor(noop.Tracer{}).Watch(handler) != http.Handler(handler) {
		t.Error("something stands before the handler")
	}
}

func TestWhatARequestCameTo(t *testing.T) {
	tracer, recorder := newTracer(sdk.AlwaysSample())
	mux := http.NewServeMux()
	mux.HandleFunc("POST /a/{name}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	handler := spans.NewDoor(tracer).Watch(mux)
	for _, test := range []struct {
		method, path string
		name, route  string
		status       int
		failed       bool
	}{
		{"POST", "/a/secret", "POST /a/{name}", "/a/{name}", 200, false},
		{"GET", "/a/secret", "GET", "", 405, false},
		{"GET", "/secret", "GET", "", 404, false},
		{"SECRET", "/broken", "_OTHER /broken", "/broken", 502, true},
		{"GET", "/panic", "GET /panic", "/panic", 500, true},
	} {
		recorder.Reset()
		func() {
			defer func() { _ = recover() }()
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(test.method, test.path, nil))
		}()
		ended := recorder.Ended()
		if len(ended) != 1 {
			t.Fatalf("%s %s: %d spans", test.method, test.path, len(ended))
		}
		method, _, _ := strings.Cut(test.name, " ")
		want := []attribute.KeyValue{
			attribute.String("http.request.method", method), attribute.String("http.route", test.route),
			attribute.Int("http.response.status_code", test.status),
		}
		span := ended[0]
		if span.Name() != test.name || span.SpanKind() != trace.SpanKindServer || !reflect.DeepEqual(span.Attributes(), want) ||
			(span.Status().Code == codes.Error) != test.failed {
			t.Errorf("%s %s: %s %v %v", test.method, test.path, span.Name(), span.Attributes(), span.Status())
		}
	}
}

// A refusal is an answer; what is our fault is an error, which collectors keep. No text of an error gets into a span.
func TestWhatIsAnError(t *testing.T) {
	for _, test := range []struct {
		err    error
		code   string
		failed bool
	}{
		{nil, "", false},
		{errors.New("secret"), "INTERNAL", true},
		{&answer.Refusal{Code: statusv1.Code_CODE_UNAVAILABLE}, "UNAVAILABLE", true},
		{&answer.Refusal{Code: statusv1.Code_CODE_TICKET_EXPIRED}, "TICKET_EXPIRED", false},
	} {
		tracer, recorder := newTracer(sdk.AlwaysSample())
		_, span := tracer.Start(context.Background(), "read")
		spans.End(span, test.err)
		ended := recorder.Ended()[0]
		code := ""
		for _, a := range ended.Attributes() {
			code = a.Value.AsString()
		}
		if code != test.code || (ended.Status().Code == codes.Error) != test.failed || len(ended.Events()) > 0 {
			t.Errorf("%v: %s %+v", test.err, code, ended.Status())
		}
	}
}
