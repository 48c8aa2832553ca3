package gateway

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/littlevote/littlevote/gateway/internal/identity"
	"github.com/littlevote/littlevote/gateway/internal/identity/identitytest"
	"github.com/littlevote/littlevote/libs/service"
)

// quiet is a host for fuzzing: what strangers send is not worth a line.
func quiet() service.Host {
	return service.Host{
		Tracer: tracenoop.Tracer{}, Log: slog.New(slog.DiscardHandler), Health: service.NewHealth(), Meter: noop.NewMeterProvider().Meter("test"),
	}
}

// serveFuzzed answers one request in process, and wants what holds for every door.
func serveFuzzed(t *testing.T, handler http.Handler, request *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	recorder := httptest.NewRecorder()
	started := time.Now()
	handler.ServeHTTP(recorder, request)
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if recorder.Code >= 500 && recorder.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d: %s", recorder.Code, recorder.Body)
	}
	return recorder
}

// fuzzed is a request with whatever headers and query string.
func fuzzed(method, path, rawQuery, body string, header map[string]string) *http.Request {
	request := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	request.Method, request.URL.RawQuery = method, rawQuery
	for name, value := range header {
		if value != "" {
			request.Header[name] = []string{value}
		}
	}
	return request
}

// The REST API: JSON in the form of its answers, and no change by GET.
func FuzzREST(f *testing.F) {
	for _, seed := range []struct{ method, path, rawQuery, contentType, cookie, body string }{
		{"POST", "/api/thumb/do", "", legacyType, aSession, `{"blogId":7305000000000001}`},
		{"POST", "/api/thumb/undo", "", legacyType, aSession, `{"blogId":"7305000000000001","idempotencyKey":"0190163d-8694-739b-aea5-966c26f8ad92"}`},
		{"POST", "/api/user/login", "", "application/json; charset=utf-8", "", `{"name":"alice","password":"correct horse"}`},
		{"POST", "/api/user/register", "", legacyType, "", `{"name":"Ａ","password":"\ud800"}`},
		{"POST", "/api/blog/add", "", legacyType, aSession, `{"title":"t","content":"c"}`},
		{"GET", "/api/blog/list", "first=2&after=x", "", "", ""},
		{"GET", "/api/blog/get", "blogId=" + aPost, "", aSession, ""},
		{"GET", "/api/user/login", "userId=" + anAuthor, "", "", ""},
		{"PUT", "/api/user/logout", "%zz", "text/plain", "lvs_", "x"},
	} {
		f.Add(seed.method, seed.path, seed.rawQuery, seed.contentType, seed.cookie, seed.body)
	}
	s, b := newServices(f), newBlog()
	gateway := startOn(f, s.blogConfig(f, b), quiet())
	f.Fuzz(func(t *testing.T, method, path, rawQuery, contentType, cookie, body string) {
		if !strings.HasPrefix(path, "/api/") {
			path = "/api/" + path
		}
		at, err := url.ParseRequestURI(path)
		if err != nil || at.Host != "" {
			return
		}
		changed := b.changeCalls.Load()
		header := map[string]string{"Content-Type": contentType}
		if cookie != "" {
			header["Cookie"] = identity.Cookie + "=" + cookie
		}
		request := fuzzed(method, "/api/", rawQuery, body, header)
		request.URL.Path = at.Path
		recorder := serveFuzzed(t, gateway.server.Handler, request)
		if method != http.MethodPost && b.changeCalls.Load() != changed {
			t.Errorf("%s changes something", method)
		}
		if recorder.Header().Get("Content-Type") != jsonType || strings.HasSuffix(at.Path, ".json") {
			return // a page, or no path of ours
		}
		var answer restAnswer
		if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil || answer.Reason == "" {
			t.Errorf("%v in %.200s", err, recorder.Body)
		}
	})
}

// The dialects: their votes pass the same checks as any other.
func FuzzDialects(f *testing.F) {
	for _, seed := range []string{
		typename, `{"query":"{cas{ticket validUntil remainingUsage} query(username:\"A\")}"}`, `{"query":"{cas query(username:\"A\")}"}`,
		`{"query":"mutation($u:[String!]!,$c:[Int!]!,$t:String!){vote(usernames:$u,voteCount:$c,ticket:$t){__typename}}","variables":{"u":["A","B"],"c":[1,2],"t":"x"}}`,
		`{"query":"mutation{vote(usernames:[\"A\"],ticket:\"x\")}"}`, `{"query":"{a:cas b:cas ...F} fragment F on Query{...F}"}`,
		`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"x"}}}`, `[{"query":"{cas}"}]`,
	} {
		f.Add(true, seed)
		f.Add(false, seed)
	}
	gateway := startOn(f, newServices(f).config(f), quiet())
	f.Fuzz(func(t *testing.T, cast bool, body string) {
		path := "/tiny/graphql"
		if cast {
			path = "/cast/graphql"
		}
		recorder := serveFuzzed(t, gateway.server.Handler, fuzzed(http.MethodPost, path, "", body, map[string]string{"Content-Type": legacyType}))
		if text := recorder.Body.Bytes(); !json.Valid(text) || len(text) > 1<<20 {
			t.Errorf("an answer of %d bytes: %.200s", len(text), text)
		}
	})
}

// Persisted queries: no hash stands for a text that is not its own.
func FuzzPersistedQueries(f *testing.F) {
	const registered = `query R { getTicket { version } }`
	for _, seed := range []struct{ extensions, query string }{
		{`{"persistedQuery":{"version":1,"sha256Hash":"` + hashOf(countOf) + `"}}`, countOf},
		{`{"persistedQuery":{"version":1,"sha256Hash":"` + hashOf(registered) + `"}}`, ""},
		{`{"persistedQuery":{"version":1.0,"sha256Hash":"` + strings.ToUpper(hashOf(registered)) + `"}}`, "{__typename}"},
		{`{"persistedQuery":{"version":2,"sha256Hash":null}}`, ""}, {`{"persistedQuery":[]}`, "{__typename}"}, {`null`, registered}, {`[]`, ""}, {`{"persistedQuery":null}`, ""},
	} {
		f.Add(seed.extensions, seed.query)
	}
	gateway := startOn(f, newServices(f).config(f), quiet())
	f.Fuzz(func(t *testing.T, extensions, query string) {
		quoted, err := json.Marshal(query)
		if err != nil {
			return
		}
		post := `{"query":` + string(quoted) + `,"extensions":` + extensions + `}`
		get := url.Values{"query": {query}, "extensions": {extensions}}.Encode()
		for _, request := range []*http.Request{
			fuzzed(http.MethodPost, "/graphql", "", post, map[string]string{"Content-Type": legacyType}), fuzzed(http.MethodGet, "/graphql", get, "", nil),
		} {
			recorder := serveFuzzed(t, gateway.server.Handler, request)
			var answer struct{ Data json.RawMessage }
			if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
				t.Errorf("%v in %.200s", err, recorder.Body)
			}
			var said struct{ PersistedQuery *struct{ Sha256Hash string } }
			if answer.Data == nil || query == "" || json.Unmarshal([]byte(extensions), &said) != nil || said.PersistedQuery == nil {
				continue
			}
			if sum := sha256.Sum256([]byte(query)); !strings.EqualFold(hex.EncodeToString(sum[:]), said.PersistedQuery.Sha256Hash) {
				t.Errorf("%q is executed under the hash %q", query, said.PersistedQuery.Sha256Hash)
			}
		}
	})
}

// What says who sends: nobody is taken for somebody without a token of theirs.
func FuzzAuthorization(f *testing.F) {
	issuer := identitytest.New(f)
	s, b := newServices(f), newBlog()
	cfg := s.blogConfig(f, b)
	cfg.Auth.Issuers, cfg.Auth.JWKSFile = []string{"test-issuer"}, issuer.File()
	cfg.Gateway.TrustedProxies = []string{"192.0.2.0/24"}
	issuer.URL = "test-issuer"
	good := issuer.Token("alice", "acme", "")
	parts := strings.Split(good, ".")
	for _, seed := range [][4]string{
		{"Bearer " + good, "", "", ""}, {"bearer  " + good, "", "acme", "198.51.100.1, 192.0.2.1"}, {"Bearer " + good, "", "beta", ""},
		{"Bearer " + parts[0] + "." + parts[1] + ".", "", "", ""}, {"Bearer eyJhbGciOiJub25lIn0." + parts[1] + ".", "", "", "::ffff:1.2.3.4"},
		{"Bearer lvs_alice", "", "", ""}, {"", identity.Cookie + "=" + aSession, "", ""}, {"", "a=b; " + identity.Cookie + "=x; c", "", "unknown, [::1]:80"},
		{"Basic YTpi", "", "", ""}, {"Bearer", identity.Cookie, "acme.x", ","}, {"Bearer \x00", "=", "-", "1.2.3.4%eth0"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	gateway := startOn(f, cfg, quiet())
	f.Fuzz(func(t *testing.T, authorization, cookie, tenant, forwarded string) {
		request := fuzzed(http.MethodPost, "/graphql", "", `{"query":"{me{voter tenant}}"}`, map[string]string{
			"Content-Type": legacyType, "Authorization": authorization, "Cookie": cookie, "Littlevote-Tenant": tenant, "X-Forwarded-For": forwarded,
		})
		recorder := serveFuzzed(t, gateway.server.Handler, request)
		var answer struct {
			Data struct {
				Me *struct{ Voter, Tenant string }
			}
		}
		if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%v in %.200s", err, recorder.Body)
		}
		me := answer.Data.Me
		if me == nil {
			return
		}
		// The last digits of a signature may be written in several ways.
		jwt := me.Voter == identity.VoterID("test-issuer", "alice") && me.Tenant == "acme" && strings.Contains(authorization, parts[0]+"."+parts[1]+".")
		session := me.Voter == "user:"+anAuthor && (strings.Contains(authorization, aSession) || strings.Contains(cookie, aSession))
		if !jwt && !session {
			t.Errorf("%q, %q, %q: %+v", authorization, cookie, tenant, me)
		}
	})
}

// frame is one of a client's WebSocket, masked with zeroes.
func frame(opcode byte, payload []byte) []byte {
	const final, masked, two, eight = 0x80, 0x80, 126, 127
	out := []byte{final | opcode}
	switch n := len(payload); {
	case n < two:
		out = append(out, masked|byte(n))
	case n <= 0xffff:
		out = binary.BigEndian.AppendUint16(append(out, masked|two), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, masked|eight), uint64(n))
	}
	return append(append(out, 0, 0, 0, 0), payload...)
}

// WebSockets: whatever frames or messages come, the connection ends when its client has said all, and leaves nothing behind.
func FuzzWebSocket(f *testing.F) {
	const text, closing, ping = 1, 8, 9
	init := `{"type":"connection_init"}`
	for _, seed := range []struct {
		raw  bool
		data []byte
	}{
		{false, []byte(`{"id":"1","type":"subscribe","payload":{"query":"subscription { tally { seq } }"}}`)},
		{false, []byte(`{"id":"1","type":"subscribe","payload":{"query":"{__typename}"}}` + "\n" + `{"id":"1","type":"complete"}` + "\n" + `{"type":"ping"}`)},
		{false, []byte(`{"id":"1","type":"subscribe","payload":{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"x"}}}}`)},
		{false, []byte(init + "\n" + `{"type":"connection_init","payload":{"Authorization":"Bearer x"}}`)}, {false, []byte("{\n[\nnull\n\"\"\n1")},
		{true, frame(text, []byte(init))}, {true, append(frame(ping, []byte("x")), frame(closing, []byte{3, 232})...)}, {true, []byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
		{true, []byte{0xc1, 0x80, 0, 0, 0, 0}}, {true, []byte{0x01, 0x01, 'x'}}, {true, frame(closing, []byte{0})},
	} {
		f.Add(seed.raw, seed.data)
	}
	gateway := startOn(f, newServices(f).config(f), quiet())
	const upgrade = "GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
	f.Fuzz(func(t *testing.T, raw bool, data []byte) {
		conn, err := net.Dial("tcp", gateway.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		sent := []byte(upgrade)
		if raw {
			sent = append(sent, data...)
		} else {
			sent = append(sent, frame(text, []byte(init))...)
			for line := range strings.SplitSeq(string(data), "\n") {
				sent = append(sent, frame(text, []byte(line))...)
			}
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := conn.Write(sent); err == nil { // it may have been closed meanwhile
			_ = conn.(*net.TCPConn).CloseWrite()
		}
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the connection is kept after %q", data)
		}
	})
}
