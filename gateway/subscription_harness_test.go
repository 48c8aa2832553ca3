package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/gateway/graph/exec"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/engine"
	"github.com/littlevote/littlevote/gateway/internal/httpapi"
	"github.com/littlevote/littlevote/gateway/internal/identity"
	"github.com/littlevote/littlevote/gateway/internal/live"
	"github.com/littlevote/littlevote/gateway/internal/overload"
	"github.com/littlevote/littlevote/gateway/internal/resolver"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// counting is a query-service whose counts a test changes.
type counting struct {
	queryv1.QueryServiceClient

	mu    sync.Mutex
	votes map[string]int64
	names []string
	grow  bool // with every read
	seen  map[string]*queryv1.Viewer
}

func (c *counting) vote(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.votes[name]++
}

// viewer is who has asked, by ballot and voter; nil where nobody has.
func (c *counting) viewer(of string) *queryv1.Viewer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[of]
}

func (c *counting) GetTallies(_ context.Context, request *queryv1.GetTalliesRequest, _ ...grpc.CallOption) (*queryv1.GetTalliesResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	response := &queryv1.GetTalliesResponse{}
	for _, read := range request.GetReads() {
		c.seen[read.GetBallot()+" "+read.GetViewer().GetVoter()] = read.GetViewer()
		tally := &queryv1.Tally{Code: statusv1.Code_CODE_OK, Ballot: read.GetBallot(), AsOf: timestamppb.Now()}
		switch {
		case strings.HasSuffix(read.GetBallot(), "none"):
			tally.Code = statusv1.Code_CODE_BALLOT_NOT_FOUND
		case strings.HasSuffix(read.GetBallot(), "hidden") && read.GetViewer().GetVoter() != "jwt:voted":
			tally.Code = statusv1.Code_CODE_RESULTS_HIDDEN
		case !read.GetRightsOnly():
			for _, name := range c.names {
				if c.grow {
					c.votes[name]++
				}
				tally.Counts = append(tally.Counts, &queryv1.Count{Candidate: name, Votes: c.votes[name]})
			}
		}
		response.Tallies = append(response.Tallies, tally)
	}
	return response, nil
}

// streaming is a GraphQL endpoint with subscriptions.
type streaming struct {
	t       *testing.T
	counts  *counting
	hub     *live.Hub
	handler *httpapi.Handler
	url     string
}

func newStreaming(t *testing.T, change ...func(*httpapi.Config, *http.Server)) *streaming {
	t.Helper()
	s := &streaming{t: t, counts: &counting{votes: map[string]int64{}, names: []string{"A", "B"}, seen: map[string]*queryv1.Viewer{}}}
	s.hub = live.NewHub(s.counts, live.Config{Interval: 10 * time.Millisecond, Timeout: time.Second, Patience: time.Minute, Most: 1000})
	settings := DefaultConfig().Gateway
	texts, log := answer.NewTexts(), slog.New(slog.DiscardHandler)
	fakes := newConstant()
	schema := exec.New(resolver.New(resolver.Config{
		Tickets: fakes, Tallies: fakes, Voter: fakes, Live: s.hub, Keys: devKeys(t), Texts: texts, Now: time.Now,
	}))
	cfg := settings.httpConfig()
	server := httptest.NewUnstartedServer(nil)
	server.Config.ConnContext = httpapi.Connection
	for _, f := range change {
		f(&cfg, server.Config)
	}
	s.handler = httpapi.New(engine.New(schema, settings.engineConfig(answer.English), texts, log), cfg, overload.NewDoor(), unobserved{}, log)
	server.Config.Handler = s.handler
	server.Start()
	s.url = server.URL
	t.Cleanup(func() {
		s.handler.Drain()
		s.handler.Wait(context.Background())
		s.hub.Close()
		server.Close()
	})
	return s
}

// people is an Identifier that believes everything but the token "wrong", and the others until they are over.
type people struct{ over *atomic.Bool }

func (p people) Identify(_ http.ResponseWriter, r *http.Request) (context.Context, *answer.Refusal) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case token == "":
		return r.Context(), nil
	case token == "wrong" || p.over.Load():
		return nil, &answer.Refusal{Code: statusv1.Code_CODE_UNAUTHENTICATED, Text: answer.Unauthenticated}
	case token == "away":
		return nil, &answer.Refusal{Code: statusv1.Code_CODE_UNAVAILABLE, Text: answer.Unavailable}
	}
	return identity.With(r.Context(), &identity.Identity{Tenant: "acme", Voter: "jwt:" + token}), nil
}

// socket is the client's end of a WebSocket.
type socket struct {
	t    *testing.T
	conn *websocket.Conn
}

func (s *streaming) dial(header ...string) *socket {
	s.t.Helper()
	conn, answer, err := s.tryDial("graphql-transport-ws", header...)
	if err != nil {
		s.t.Fatalf("%v %+v", err, answer)
	}
	return &socket{t: s.t, conn: conn}
}

// handshake is how a request for a WebSocket was answered.
type handshake struct {
	status     int
	retryAfter string
}

func (s *streaming) tryDial(protocol string, header ...string) (*websocket.Conn, handshake, error) {
	options := &websocket.DialOptions{Subprotocols: []string{protocol}, HTTPHeader: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		options.HTTPHeader.Set(header[i], header[i+1])
	}
	conn, response, err := websocket.Dial(s.t.Context(), s.url, options) //nolint:bodyclose // the library says that there is nothing to close
	if err == nil {
		s.t.Cleanup(func() { _ = conn.CloseNow() })
	}
	if response == nil {
		return conn, handshake{}, err
	}
	return conn, handshake{response.StatusCode, response.Header.Get("Retry-After")}, err
}

// open is a WebSocket that is initialised.
func (s *streaming) open(payload string) *socket {
	s.t.Helper()
	c := s.dial()
	c.send(`{"type":"connection_init"` + payload + `}`)
	if got := c.receive(); got.Type != "connection_ack" {
		s.t.Fatalf("%+v", got)
	}
	return c
}

func (c *socket) send(text string) {
	c.t.Helper()
	if err := c.conn.Write(c.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// wsMessage is one that a client receives.
type wsMessage struct {
	ID      string          `json:"id"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload"`
}

type tallyUpdate struct {
	Ballot   string `json:"ballot"`
	Seq      string `json:"seq"`
	Snapshot bool   `json:"snapshot"`
	Counts   []struct {
		Username string `json:"username"`
		Votes    int64  `json:"votes"`
	} `json:"counts"`
	Stale bool `json:"stale"`
}

const tallyFields = `{ ballot seq snapshot counts { username votes } asOf stale }`

func (c *socket) receive() wsMessage {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	_, data, err := c.conn.Read(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	var m wsMessage
	if err := json.Unmarshal(data, &m); err != nil {
		c.t.Fatalf("%s: %v", data, err)
	}
	return m
}

// update receives an update.
func (c *socket) update(id string) tallyUpdate {
	c.t.Helper()
	m := c.receive()
	if m.Type != "next" || m.ID != id {
		c.t.Fatalf("%+v %s", m, m.Payload)
	}
	return updateIn(c.t, m.Payload)
}

func updateIn(t *testing.T, text []byte) tallyUpdate {
	t.Helper()
	var answer struct {
		Data   struct{ Tally tallyUpdate }
		Errors []any
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Errors != nil || answer.Data.Tally.Seq == "" {
		t.Fatalf("%s: %v", text, err)
	}
	return answer.Data.Tally
}

// failed receives an error message, and returns its code.
func (c *socket) failed(id string) string {
	c.t.Helper()
	m := c.receive()
	var errors []struct{ Extensions struct{ Code string } }
	if m.Type != "error" || m.ID != id || json.Unmarshal(m.Payload, &errors) != nil || len(errors) == 0 {
		c.t.Fatalf("%+v %s", m, m.Payload)
	}
	return errors[0].Extensions.Code
}

// closed reads until the connection is closed, and returns why.
func (c *socket) closed() websocket.StatusCode {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	for {
		if _, _, err := c.conn.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

func (c *socket) subscribe(id, ballot string) {
	c.t.Helper()
	c.send(`{"id":"` + id + `","type":"subscribe","payload":{"query":"subscription($b: ID) { tally(ballot: $b) ` + tallyFields + ` }","variables":{"b":"` + ballot + `"}}}`)
}

// events is the client's end of an event stream.
type events struct {
	t        *testing.T
	response *http.Response
	lines    *bufio.Scanner
	cancel   context.CancelFunc
}

func (s *streaming) events(query string, header ...string) *events {
	s.t.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, strings.NewReader(string(body)))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	return s.do(request, cancel)
}

func (s *streaming) do(request *http.Request, cancel context.CancelFunc) *events {
	s.t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	e := &events{t: s.t, response: response, lines: bufio.NewScanner(response.Body), cancel: cancel}
	e.lines.Buffer(nil, 1<<20)
	s.t.Cleanup(func() { cancel(); _ = response.Body.Close() })
	return e
}

// next returns an event and its data; empty at the end of the stream.
func (e *events) next() (event, data string) {
	e.t.Helper()
	for e.lines.Scan() {
		name, value, _ := strings.Cut(e.lines.Text(), ":")
		switch value = strings.TrimPrefix(value, " "); name {
		case "event":
			event = value
		case "data":
			data = value
		case "":
			if event != "" {
				return event, data
			}
		}
	}
	return event, data
}

func (e *events) update() tallyUpdate {
	e.t.Helper()
	event, data := e.next()
	if event != "next" {
		e.t.Fatalf("%q %s", event, data)
	}
	return updateIn(e.t, []byte(data))
}
