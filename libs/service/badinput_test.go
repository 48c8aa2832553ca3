package service

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/littlevote/littlevote/libs/config"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	"github.com/littlevote/littlevote/proto/gen/littlevote/query/v1/queryv1connect"
)

// counting is a service that counts its calls.
func counting(calls *atomic.Int64) fake {
	return fake{read: func(context.Context, *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
		calls.Add(1)
		return &queryv1.GetTalliesResponse{}, nil
	}}
}

func zipped(t *testing.T, body []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// framed is a gRPC message.
func framed(flag byte, message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(message))), message...)
}

// post sends a body as it is and returns the status in words: of HTTP and Connect, or of gRPC.
func post(t *testing.T, client *http.Client, url string, headers map[string]string, body []byte) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+queryv1connect.QueryServiceGetTalliesProcedure, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	answer, err := client.Do(request)
	if err != nil {
		return "cut off"
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body) // a body that is cut off shows in what it says
	if code := answer.Trailer.Get("Grpc-Status") + answer.Header.Get("Grpc-Status"); code != "" {
		return "grpc " + code
	}
	var problem struct{ Code string }
	if err := json.Unmarshal(text, &problem); err == nil && problem.Code != "" {
		return problem.Code
	}
	return answer.Status
}

// Each bad request gets a definite answer, and none but those that are valid reaches the service.
func TestBadInputAtTheRPCDoor(t *testing.T) {
	var calls atomic.Int64
	server := start(t, counting(&calls), config.TLS{})
	url := "http://" + server.Addr()
	h1, h2 := httpClient(t, false, config.TLS{}), httpClient(t, true, config.TLS{})
	message, err := proto.Marshal(&queryv1.GetTalliesRequest{Reads: []*queryv1.TallyRead{{Ballot: "main"}}})
	if err != nil {
		t.Fatal(err)
	}
	unknownField := append(bytes.Clone(message), 0xf8, 0x07, 0x01) // field 127, a varint
	large := []byte(`{"reads":[{"ballot":"` + strings.Repeat("x", readLimit) + `"}]}`)
	bomb := zipped(t, make([]byte, 64<<20))
	is := func(pairs ...string) map[string]string {
		headers := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			headers[pairs[i]] = pairs[i+1]
		}
		return headers
	}
	jsonType, protoType, grpcType := "application/json", "application/proto", "application/grpc"
	for name, test := range map[string]struct {
		http2   bool
		headers map[string]string
		body    []byte
		want    string
		reaches bool
	}{
		"valid":                       {false, is("Content-Type", jsonType), []byte(`{}`), "200 OK", true},
		"valid gRPC":                  {true, is("Content-Type", grpcType, "Te", "trailers"), framed(0, message), "grpc 0", true},
		"unknown JSON field":          {false, is("Content-Type", jsonType), []byte(`{"nobody":1}`), "200 OK", true},
		"unknown binary field":        {false, is("Content-Type", protoType), unknownField, "200 OK", true},
		"no JSON":                     {false, is("Content-Type", jsonType), []byte(`{"reads":`), "invalid_argument", false},
		"JSON of the wrong type":      {false, is("Content-Type", jsonType), []byte(`{"reads":"main"}`), "invalid_argument", false},
		"JSON null":                   {false, is("Content-Type", jsonType), []byte(`null`), "invalid_argument", false},
		"a list":                      {false, is("Content-Type", jsonType), []byte(`[]`), "invalid_argument", false},
		"invalid UTF-8":               {false, is("Content-Type", jsonType), []byte("{\"reads\":[{\"ballot\":\"\xff\"}]}"), "invalid_argument", false},
		"a lone surrogate":            {false, is("Content-Type", jsonType), []byte(`{"reads":[{"ballot":"\ud800"}]}`), "invalid_argument", false},
		"invalid UTF-8, binary":       {false, is("Content-Type", protoType), []byte("\x0a\x03\x0a\x01\xff"), "invalid_argument", false},
		"garbage":                     {false, is("Content-Type", protoType), []byte("\xff\xff\xff"), "invalid_argument", false},
		"deep JSON":                   {false, is("Content-Type", jsonType), []byte(strings.Repeat(`{"a":`, 100_000)), "invalid_argument", false},
		"more than 4 MiB":             {false, is("Content-Type", jsonType), large, "resource_exhausted", false},
		"more than 4 MiB, gRPC":       {true, is("Content-Type", grpcType, "Te", "trailers"), framed(0, large), "grpc 8", false},
		"a gzip bomb":                 {false, is("Content-Type", jsonType, "Content-Encoding", "gzip"), bomb, "resource_exhausted", false},
		"a gzip bomb, gRPC":           {true, is("Content-Type", grpcType, "Te", "trailers", "Grpc-Encoding", "gzip"), framed(1, bomb), "grpc 8", false},
		"gzip that is none":           {false, is("Content-Type", jsonType, "Content-Encoding", "gzip"), []byte(`{}`), "invalid_argument", false},
		"unknown compression":         {false, is("Content-Type", jsonType, "Content-Encoding", "br"), []byte(`{}`), "unimplemented", false},
		"unknown compression, gRPC":   {true, is("Content-Type", grpcType, "Te", "trailers", "Grpc-Encoding", "br"), framed(1, message), "grpc 12", false},
		"compression flag alone":      {true, is("Content-Type", grpcType, "Te", "trailers"), framed(1, message), "grpc 13", false},
		"a flag that does not exist":  {true, is("Content-Type", grpcType, "Te", "trailers"), framed(0x40, message), "grpc 13", false},
		"a length that lies":          {true, is("Content-Type", grpcType, "Te", "trailers"), framed(0, message)[:7], "grpc 13", false},
		"an unknown type":             {false, is("Content-Type", "text/plain"), []byte(`{}`), "415 Unsupported Media Type", false},
		"a form":                      {false, is("Content-Type", "application/x-www-form-urlencoded"), []byte(`a=b`), "415 Unsupported Media Type", false},
		"Connect-Timeout-Ms 0":        {false, is("Content-Type", jsonType, "Connect-Timeout-Ms", "0"), []byte(`{}`), "deadline_exceeded", false},
		"Connect-Timeout-Ms -1":       {false, is("Content-Type", jsonType, "Connect-Timeout-Ms", "-1"), []byte(`{}`), "invalid_argument", false},
		"Connect-Timeout-Ms 1e15":     {false, is("Content-Type", jsonType, "Connect-Timeout-Ms", "1000000000000000"), []byte(`{}`), "invalid_argument", false},
		"Connect-Timeout-Ms garbage":  {false, is("Content-Type", jsonType, "Connect-Timeout-Ms", "soon"), []byte(`{}`), "invalid_argument", false},
		"Connect-Timeout-Ms, longest": {false, is("Content-Type", jsonType, "Connect-Timeout-Ms", "9999999999"), []byte(`{}`), "200 OK", true},
		"grpc-timeout 1n":             {true, is("Content-Type", grpcType, "Te", "trailers", "Grpc-Timeout", "1n"), framed(0, message), "grpc 4", false},
		"grpc-timeout 0S":             {true, is("Content-Type", grpcType, "Te", "trailers", "Grpc-Timeout", "0S"), framed(0, message), "grpc 4", false},
		"grpc-timeout garbage":        {true, is("Content-Type", grpcType, "Te", "trailers", "Grpc-Timeout", "soon"), framed(0, message), "grpc 3", false},
		"grpc-timeout, longest":       {true, is("Content-Type", grpcType, "Te", "trailers", "Grpc-Timeout", "99999999H"), framed(0, message), "grpc 0", true},
	} {
		t.Run(name, func(t *testing.T) {
			before, client := calls.Load(), h1
			if test.http2 {
				client = h2
			}
			if got := post(t, client, url, test.headers, test.body); got != test.want {
				t.Errorf("answer %q, want %q", got, test.want)
			}
			if reached := calls.Load() > before; reached != test.reaches {
				t.Errorf("reached the service: %v", reached)
			}
		})
	}
	if logged := server.log.String(); logged != "" {
		t.Errorf("strangers can fill the log: %s", logged)
	}
}

// endless is a body that goes on for as long as somebody reads it, up to a gigabyte.
type endless struct {
	head io.Reader
	read int64
}

func (e *endless) Read(p []byte) (int, error) {
	if e.read > 1<<30 {
		return 0, io.EOF
	}
	n, err := e.head.Read(p)
	if err != nil {
		n = len(p)
		clear(p)
	}
	e.read += int64(n)
	return n, nil
}

// What is too large is not read, or inflated, to its end only to say how long it was.
func TestReadingEndsAtTheLimit(t *testing.T) {
	var calls atomic.Int64
	path, handler := queryv1connect.NewQueryServiceHandler(counting(&calls), HandlerOptions(Host{Log: slog.New(slog.DiscardHandler)})...)
	mux := rpcMux(t.Context(), nil, NewHealth(), []Mount{{Name: queryv1connect.QueryServiceName, Path: path, Handler: handler}})
	ask := func(body io.Reader, encoding string) string {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, queryv1connect.QueryServiceGetTalliesProcedure, body)
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Content-Encoding", encoding)
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, request)
		return answer.Body.String()
	}
	plain := &endless{head: strings.NewReader(`{"`)}
	if got := ask(plain, "identity"); !strings.Contains(got, "resource_exhausted") || plain.read > readLimit+1<<20 {
		t.Errorf("%d bytes were read, the answer is %s", plain.read, got)
	}
	if got := ask(bytes.NewReader(zipped(t, make([]byte, 64<<20))), "gzip"); !strings.Contains(got, errBomb.Error()) {
		t.Errorf("the answer to a bomb is %s", got)
	}
	if calls.Load() != 0 {
		t.Error("it reached the service")
	}
}

// A client that sends its headers a byte at a time loses its connection.
func TestSlowHeadersAreGivenUp(t *testing.T) {
	rpc, err := NewRPC("127.0.0.1:0", nil, NewHealth())
	if err != nil {
		t.Fatal(err)
	}
	if rpc.http.ReadHeaderTimeout <= 0 || rpc.http.ReadHeaderTimeout > 10*time.Second || rpc.http.IdleTimeout <= 0 {
		t.Errorf("headers may take %v, a connection may idle for %v", rpc.http.ReadHeaderTimeout, rpc.http.IdleTimeout)
	}
	rpc.http.ReadHeaderTimeout = 50 * time.Millisecond
	run(t, rpc.Server)
	conn, err := net.Dial("tcp", rpc.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("the connection is kept: %v", err)
	}
}
