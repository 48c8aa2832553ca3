package wire

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func dial(t *testing.T, url string) (*Conn, Target) {
	t.Helper()
	target, err := ParseTarget(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	conn := NewConn(target, 5*time.Second)
	t.Cleanup(conn.Close)
	return conn, target
}

func TestDoReadsWhatServersSend(t *testing.T) {
	long := strings.Repeat("0123456789", 2000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch string(body) {
		case "long": // more than net/http buffers, so it is sent in chunks
			_, _ = io.WriteString(w, long)
		case "chunks":
			for _, part := range []string{"one ", "two ", "three"} {
				_, _ = io.WriteString(w, part)
				w.(http.Flusher).Flush()
			}
		case "busy":
			http.Error(w, "later", http.StatusServiceUnavailable)
		case "close":
			w.Header().Set("Connection", "close")
			_, _ = io.WriteString(w, "bye")
		default:
			_, _ = io.WriteString(w, r.Method+" "+r.URL.Path+" "+r.Header.Get("Content-Type")+" "+string(body))
		}
	}))
	defer server.Close()
	conn, target := dial(t, server.URL+"/graphql")

	// All on one connection, twice, so that nothing of one answer is left for the next.
	for range 2 {
		for _, want := range []struct {
			send   string
			status int
			body   string
		}{
			{"x", 200, "POST /graphql application/json x"},
			{"long", 200, long},
			{"chunks", 200, "one two three"},
			{"busy", 503, "later\n"},
			{"close", 200, "bye"},
		} {
			answer, err := conn.Do(t.Context(), target.Post([]byte(want.send)))
			if err != nil {
				t.Fatalf("%s: %v", want.send, err)
			}
			if diff := cmp.Diff(want.body, string(answer.Body)); diff != "" || answer.Status != want.status {
				t.Errorf("%s: status %d, want %d; body (-want +got):\n%s", want.send, answer.Status, want.status, diff)
			}
		}
	}
}

// raw answers every connection's first request with the text and closes.
func raw(t *testing.T, text string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.WriteString(conn, text)
			}
			_ = conn.Close()
		}
	}()
	return "http://" + listener.Addr().String() + "/"
}

func TestBrokenAnswersAreUnanswered(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":    "",
		"cut short":  "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
		"no length":  "HTTP/1.1 200 OK\r\n\r\nabc",
		"not http":   "hello there, who are you\r\n\r\n",
		"bad status": "HTTP/1.1 abc\r\n\r\n",
		"too long":   "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
		"negative":   "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"bad chunk":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
	} {
		conn, target := dial(t, raw(t, text))
		if answer, err := conn.Do(t.Context(), target.Post(nil)); !errors.Is(err, ErrUnanswered) {
			t.Errorf("%s: answer %v, error %v; want ErrUnanswered", name, answer, err)
		}
	}
}

func TestSilenceEndsAtTheTimeout(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	target, err := ParseTarget(t.Context(), "http://"+listener.Addr().String()+"/")
	if err != nil {
		t.Fatal(err)
	}
	conn := NewConn(target, 10*time.Millisecond)
	defer conn.Close()
	_, err = conn.Do(t.Context(), target.Post(nil))
	var timeout net.Error
	if !errors.Is(err, ErrUnanswered) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("error %v, want a timeout that is ErrUnanswered", err)
	}
}

func TestNobodyListensIsNotUnanswered(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn, target := dial(t, "http://"+listener.Addr().String()+"/")
	_ = listener.Close()
	if _, err := conn.Do(t.Context(), target.Post(nil)); err == nil || errors.Is(err, ErrUnanswered) {
		t.Errorf("error %v, want one that says that nothing was sent", err)
	}
}

func TestOnlyLoopbackIsATarget(t *testing.T) {
	for _, url := range []string{
		"http://127.0.0.1:8080/graphql", "http://127.9.9.9/graphql", "http://[::1]:8080/graphql", "http://localhost:8080/graphql",
	} {
		if _, err := ParseTarget(context.Background(), url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{
		"http://10.0.0.1:8080/graphql", "http://0.0.0.0:8080/graphql", "http://[::]:8080/", "http://192.168.1.1/", "http://[2001:db8::1]/",
	} {
		if _, err := ParseTarget(context.Background(), url); !errors.Is(err, ErrNotLoopback) {
			t.Errorf("%s: error %v, want ErrNotLoopback", url, err)
		}
	}
	for _, url := range []string{"127.0.0.1:8080", "https://127.0.0.1/", "http://", "http://u:p@127.0.0.1/", "::"} {
		if _, err := ParseTarget(context.Background(), url); err == nil {
			t.Errorf("%s: accepted", url)
		}
	}
}
