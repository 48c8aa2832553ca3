package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/testenv"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// impatient is a gateway with short timeouts.
func (s *services) impatient(t *testing.T) *running {
	t.Helper()
	cfg := s.config(t)
	cfg.Gateway.Timeouts = Timeouts{Headers: 100 * time.Millisecond, Read: 300 * time.Millisecond, Write: 300 * time.Millisecond, Idle: 200 * time.Millisecond}
	cfg.Gateway.RequestTimeout = 100 * time.Millisecond
	return start(t, cfg)
}

// ends waits until the other side has ended a connection, and returns what it said before.
func ends(t *testing.T, conn net.Conn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection is kept")
	}
	return string(text)
}

func (r *running) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// statusOf sends a request and reads the answer's; 0 where the connection was closed instead.
func statusOf(t *testing.T, conn net.Conn, request string) int {
	t.Helper()
	w := &wire{t: t, conn: conn, in: bufio.NewReader(conn)}
	w.send(request)
	return w.status()
}

const postHead = "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

// Whoever does not do their part of a request in time loses the connection, wherever they stop.
func TestSlowClientsAreGivenUp(t *testing.T) {
	behind := newServices(t)
	gateway := behind.impatient(t)
	for name, sent := range map[string]string{
		"nothing":           "",
		"half a line":       "POST /gra",
		"headers, no end":   postHead + "X-Slow: ",
		"no body":           postHead + "Content-Length: 100\r\n\r\n",
		"half a body":       postHead + "Content-Length: 100\r\n\r\n" + `{"query":`,
		"half a chunk":      postHead + "Transfer-Encoding: chunked\r\n\r\n50\r\n{",
		"idle afterwards":   postHead + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(typename)) + typename,
		"half of the next":  postHead + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(typename)) + typename + "POST",
		"h2 without a word": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := gateway.dial(t)
			say(t, conn, sent)
			if text := ends(t, conn); strings.Contains(name, "body") && !strings.HasPrefix(text, "HTTP/1.1 4") {
				t.Errorf("%q", text)
			}
		})
	}
	t.Run("a byte at a time", func(t *testing.T) {
		t.Parallel()
		conn := gateway.dial(t)
		began := time.Now()
		for _, b := range []byte(postHead + strings.Repeat("X-Slow: x\r\n", 1000)) {
			if _, err := conn.Write([]byte{b}); err != nil {
				break
			}
			time.Sleep(5 * time.Millisecond) // this is what is tested
			if time.Since(began) > 20*time.Second {
				t.Fatal("the connection is kept")
			}
		}
	})
}

// A client that does not read its answers loses its connection, and keeps nobody from getting theirs.
func TestAClientThatDoesNotReadItsAnswers(t *testing.T) {
	behind := newServices(t)
	large := strings.Repeat("x", 200)
	behind.tally = func(read *queryv1.TallyRead) *queryv1.Tally {
		tally := &queryv1.Tally{Code: statusv1.Code_CODE_OK, Ballot: read.GetBallot()}
		for i := range 2000 {
			tally.Counts = append(tally.Counts, &queryv1.Count{Candidate: fmt.Sprint(large, i)})
		}
		return tally
	}
	gateway := behind.impatient(t)
	conn := gateway.dial(t)
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	body := `{"query":"{ getAllUserVotes { username } }"}`
	request := postHead + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)) + body
	lost := make(chan error, 1)
	go func() {
		for {
			_ = conn.SetWriteDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.WriteString(conn, request); err != nil {
				lost <- err
				return
			}
		}
	}()
	if err := <-lost; errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection is kept")
	}
	if got := gateway.ask(`{ __typename }`, nil); got.Errors != nil {
		t.Errorf("%+v", got)
	}
}

// Connections are bounded, in all and of one address; who is refused is told at once, and who leaves makes room.
func TestConnectionsAreBounded(t *testing.T) {
	for name, bounds := range map[string]Connections{"in all": {Most: 5}, "of an address": {Most: 100, PerAddress: 5}} {
		t.Run(name, func(t *testing.T) {
			cfg := newServices(t).config(t)
			cfg.Gateway.Connections = bounds
			gateway := start(t, cfg)
			serves := func(conn net.Conn) bool {
				return statusOf(t, conn, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n") != 0
			}
			var idle []net.Conn
			for range 6 {
				if conn := gateway.dial(t); len(idle) < 5 {
					idle = append(idle, conn)
				} else {
					if serves(conn) {
						t.Fatal("one too many is served")
					}
					break
				}
			}
			for _, conn := range idle {
				if !serves(conn) {
					t.Error("one of those that may be is not served")
				}
			}
			idle[0].Close()
			testenv.Eventually(t, 20*time.Second, func() error {
				if conn := gateway.dial(t); !serves(conn) {
					return errors.New("no room is made")
				}
				return nil
			})
			if gateway.entrance.bound.Refused() == 0 {
				t.Error("nobody counts")
			}
		})
	}
}

// A trusted proxy brings everybody; only all connections together bound it.
func TestAProxyHasAsManyConnectionsAsItLikes(t *testing.T) {
	cfg := newServices(t).config(t)
	cfg.Gateway.Connections = Connections{Most: 100, PerAddress: 2}
	cfg.Gateway.TrustedProxies = []string{"127.0.0.0/8"}
	gateway := start(t, cfg)
	for i := range 10 {
		if statusOf(t, gateway.dial(t), "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n") == 0 {
			t.Fatalf("number %d is closed", i+1)
		}
	}
}

// A WebSocket's connection counts until it is closed, although the server has handed it over.
func TestWebSocketsKeepTheirPlace(t *testing.T) {
	cfg := newServices(t).config(t)
	cfg.Gateway.Connections = Connections{Most: 3}
	gateway := start(t, cfg)
	const upgrade = "GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
	var sockets []net.Conn
	for range 3 {
		conn := gateway.dial(t)
		if got := statusOf(t, conn, upgrade); got != http.StatusSwitchingProtocols {
			t.Fatal(got)
		}
		sockets = append(sockets, conn)
	}
	if text := ends(t, gateway.dial(t)); text != "" {
		t.Error(text)
	}
	for _, conn := range sockets {
		conn.Close()
	}
	testenv.Eventually(t, 20*time.Second, func() error {
		if n := gateway.entrance.bound.Open(); n != 0 {
			return fmt.Errorf("%d are open", n)
		}
		return nil
	})
}
