package gateway

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// wire is a client that speaks HTTP by hand.
type wire struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (r *running) wire(t *testing.T) *wire {
	t.Helper()
	conn, err := net.Dial("tcp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &wire{t: t, conn: conn, in: bufio.NewReader(conn)}
}

func (w *wire) send(text string) {
	w.t.Helper()
	if _, err := io.WriteString(w.conn, text); err != nil {
		w.t.Logf("write: %v", err) // the answer tells
	}
}

// status reads an answer; 0 where the connection was closed instead.
func (w *wire) status() int {
	w.t.Helper()
	if err := w.conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		w.t.Fatal(err)
	}
	response, err := http.ReadResponse(w.in, nil)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.t.Fatal("neither an answer nor an end")
	}
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

const voteBody = `{"query":"mutation { ticketAndVote(usernames: \"A\") { code } }"}`

func post(length, body string) string {
	return "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + length + "\r\n" + body
}

// A request whose length is a lie is no request: it is refused or cut off, and does not vote.
func TestLengthsThatLie(t *testing.T) {
	behind := newServices(t)
	gateway, stop := runUntil(t, behind.config(t), func(server *http.Server) { server.ReadTimeout = 300 * time.Millisecond })
	defer stop()
	exact := strconv.Itoa(len(voteBody))
	for name, test := range map[string]struct {
		request string
		want    []int
	}{
		"longer than what comes": {post("Content-Length: 1000\r\n", voteBody), []int{0, 400}},
		"larger than allowed":    {post("Content-Length: 99999999999\r\n", voteBody), []int{413}},
		"over 64 bits":           {post("Content-Length: 99999999999999999999\r\n", voteBody), []int{400}},
		"shorter":                {post("Content-Length: 10\r\n", voteBody), []int{400}},
		"negative":               {post("Content-Length: -1\r\n", voteBody), []int{400}},
		"with a sign":            {post("Content-Length: +"+exact+"\r\n", voteBody), []int{400}},
		"hexadecimal":            {post("Content-Length: 0x10\r\n", voteBody), []int{400}},
		"no number":              {post("Content-Length: ten\r\n", voteBody), []int{400}},
		"two":                    {post("Content-Length: 10\r\nContent-Length: "+exact+"\r\n", voteBody), []int{400}},
		"a list":                 {post("Content-Length: 10, "+exact+"\r\n", voteBody), []int{400}},
		"none":                   {post("", voteBody), []int{400}},
		"unknown coding":         {post("Transfer-Encoding: gzip\r\n", voteBody), []int{400, 501}},
		"chunk cut off":          {post("Transfer-Encoding: chunked\r\n", "5\r\n{\"q"), []int{0, 400}},
		"chunk of no length":     {post("Transfer-Encoding: chunked\r\n", "zz\r\n"+voteBody), []int{400}},
		"endless chunk head":     {post("Transfer-Encoding: chunked\r\n", strings.Repeat("0", 100_000)), []int{400}},
	} {
		w := gateway.wire(t)
		w.send(test.request)
		got := w.status()
		found := false
		for _, want := range test.want {
			found = found || got == want
		}
		if !found {
			t.Errorf("%s: %d, want %v", name, got, test.want)
		}
		w.conn.Close()
	}
	if calls := behind.voteCalls.Load(); calls != 0 {
		t.Errorf("%d calls", calls)
	}
	// And one whose length is true.
	w := gateway.wire(t)
	w.send(post("Content-Length: "+exact+"\r\n", voteBody))
	if got := w.status(); got != http.StatusOK || behind.voteCalls.Load() != 1 {
		t.Errorf("%d after %d calls", got, behind.voteCalls.Load())
	}
}

// Slowloris: whoever sends a byte now and then is cut off, and holds nobody else up.
func TestClientsThatTakeTheirTime(t *testing.T) {
	behind := newServices(t)
	gateway, stop := runUntil(t, behind.config(t), func(server *http.Server) {
		server.ReadHeaderTimeout, server.ReadTimeout = 200*time.Millisecond, 400*time.Millisecond
	})
	defer stop()
	slow := map[string]*wire{}
	for name, begin := range map[string]string{
		"nothing at all": "", "half a line": "POST /gra", "headers without end": "POST /graphql HTTP/1.1\r\nHost: x\r\nX-A: b\r\n",
		"a body without end": post("Content-Length: 100\r\n", `{"query":`),
	} {
		slow[name] = gateway.wire(t)
		slow[name].send(begin)
	}
	if got := gateway.ask(`{ __typename }`, nil); got.Errors != nil {
		t.Errorf("meanwhile: %+v", got)
	}
	for name, w := range slow {
		if got := w.status(); got != 0 && got != http.StatusBadRequest && got != http.StatusRequestTimeout {
			t.Errorf("%s: %d", name, got)
		}
		if _, err := w.in.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection is still open: %v", name, err)
		}
	}
	if calls := behind.voteCalls.Load(); calls != 0 {
		t.Errorf("%d calls", calls)
	}
}

func TestHeadersThatAreTooMuch(t *testing.T) {
	gateway := newServices(t).start(t)
	for name, test := range map[string]struct {
		request string
		want    int
	}{
		"one long header":  {"GET /graphql?query={__typename} HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 200_000) + "\r\n\r\n", 431},
		"many headers":     {"GET /graphql?query={__typename} HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-Y: zzzzzzzzzzzz\r\n", 10_000) + "\r\n", 431},
		"a long address":   {"GET /graphql?query={__typename}" + strings.Repeat("+", 70_000) + " HTTP/1.1\r\nHost: x\r\n\r\n", 414},
		"no HTTP":          {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
		"no such version":  {"GET /graphql HTTP/9.9\r\nHost: x\r\n\r\n", 505},
		"no host":          {"GET /graphql?query={__typename} HTTP/1.1\r\n\r\n", 400},
		"two hosts":        {"GET /graphql?query={__typename} HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400},
		"space in a name":  {"GET /graphql?query={__typename} HTTP/1.1\r\nHost: x\r\nX Y: z\r\n\r\n", 400},
		"NUL in a header":  {"GET /graphql?query={__typename} HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", 400},
		"an upgrade":       {"GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 400},
		"proxying":         {"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n", 404},
		"another's scheme": {"GET gopher://evil.example/ HTTP/1.1\r\nHost: x\r\n\r\n", 200}, // the page at /, of this host
	} {
		w := gateway.wire(t)
		w.send(test.request)
		if got := w.status(); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
	if got := gateway.ask(`{ __typename }`, nil); got.Errors != nil {
		t.Errorf("afterwards: %+v", got)
	}
}

// Megabytes of zeros that come as kilobytes are not unpacked.
func TestGzipBomb(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	var bomb bytes.Buffer
	packed := gzip.NewWriter(&bomb)
	if _, err := packed.Write(make([]byte, 8<<20)); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	for _, coding := range []string{"gzip", "GZIP", "deflate", "br", "gzip, gzip", "identity, gzip", "zstd", "x-unknown"} {
		status, text, _ := gateway.send(http.MethodPost, gateway.url, bomb.String(), "Content-Type", legacyType, "Content-Encoding", coding)
		if status != http.StatusUnsupportedMediaType || gateway.parse(text).code(t) != "UNSUPPORTED_MEDIA_TYPE" {
			t.Errorf("%s: %d %s", coding, status, text)
		}
	}
}

// Batches of operations in one request are not spoken here, however many.
func TestBatchesAreNot(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	for _, n := range []int{0, 1, 10, 900} {
		body := "[" + strings.Repeat(voteBody+",", n)
		body = strings.TrimSuffix(body, ",") + "]"
		status, text, _ := gateway.send(http.MethodPost, gateway.url, body, "Content-Type", legacyType)
		if status != http.StatusBadRequest || gateway.parse(text).code(t) != "BAD_REQUEST" {
			t.Errorf("%d: %d %s", n, status, text)
		}
	}
	if status, _, _ := gateway.send(http.MethodPost, gateway.url, "["+strings.Repeat(voteBody+",", 10_000)+"{}]", "Content-Type", legacyType); status != 413 {
		t.Errorf("10,000: %d", status)
	}
	if calls := behind.voteCalls.Load(); calls != 0 {
		t.Errorf("%d calls", calls)
	}
}
