package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coder/websocket"

	"github.com/littlevote/littlevote/tools/internal/scope"
	"github.com/littlevote/littlevote/tools/internal/voter"
)

const (
	watchers     = 4 // by WebSocket and by server-sent events, by turns
	watchAgain   = 50 * time.Millisecond
	watchBuffer  = 4 << 10 // what the kernel keeps for a watcher who does not read
	watchMessage = 1 << 20
	watchQuery   = `subscription{tally(ballot:"main"){seq snapshot stale asOf ballot counts{ballot username votes votesExact updatedAt stale asOf}}}`
)

// Watchers are subscribers of the counts of main. One whose connection ends goes on at the next gateway.
type Watchers struct {
	all    []*Watcher
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// Watcher is one of them.
type Watcher struct {
	gateways []*voter.Client
	events   bool // server-sent events; else a WebSocket
	at       int  // the gateway

	gate sync.Mutex // who holds it keeps the watcher from reading

	mu          sync.Mutex
	counts      map[string]int64
	seq         int64
	updates     int
	connections int
	wrong       []string
}

// Watch lets them watch until they are stopped.
func Watch(t scope.Scope, gateways []*voter.Client) *Watchers {
	ctx, cancel := context.WithCancel(t.Context())
	w := &Watchers{cancel: cancel}
	for i := range watchers {
		one := &Watcher{gateways: gateways, events: i%2 == 1, at: i / 2, counts: map[string]int64{}}
		w.all = append(w.all, one)
		w.done.Go(func() { one.watch(ctx) })
	}
	t.Cleanup(w.Stop)
	return w
}

// Stop ends all.
func (w *Watchers) Stop() {
	w.cancel()
	w.done.Wait()
}

// All are the watchers.
func (w *Watchers) All() []*Watcher { return w.all }

// Await waits until everybody has seen an update after this moment.
func (w *Watchers) Await(t scope.Scope, patience time.Duration) {
	t.Helper()
	for _, one := range w.all {
		before := one.Updates()
		scope.Eventually(t, patience, func() error {
			if one.Updates() == before {
				return fmt.Errorf("watcher %s sees nothing new", one)
			}
			return nil
		})
	}
}

func (w *Watcher) String() string {
	if w.events {
		return "by server-sent events"
	}
	return "by WebSocket"
}

// Freeze keeps it from reading until it is let go.
func (w *Watcher) Freeze() (letGo func()) {
	w.gate.Lock()
	return w.gate.Unlock
}

// Updates is how many it has seen.
func (w *Watcher) Updates() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.updates
}

// Seq is the number of the last update.
func (w *Watcher) Seq() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seq
}

// Connections is how often it has connected.
func (w *Watcher) Connections() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.connections
}

// Counts is what it knows.
func (w *Watcher) Counts() map[string]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := map[string]int64{}
	for name, votes := range w.counts {
		known[name] = votes
	}
	return known
}

// Wrong is what it has seen that must not be.
func (w *Watcher) Wrong() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wrong
}

func (w *Watcher) watch(ctx context.Context) {
	for ; ctx.Err() == nil; w.at++ {
		url := w.gateways[w.at%len(w.gateways)].URL
		if w.events {
			_ = w.byEvents(ctx, url)
		} else {
			_ = w.byWebSocket(ctx, url)
		}
		select {
		case <-ctx.Done():
		case <-time.After(watchAgain):
		}
	}
}

// narrow is a client for which the kernel keeps little.
func narrow() *http.Client {
	dialer := &net.Dialer{Timeout: 2 * time.Second, Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, watchBuffer)
		})
		return errors.Join(err, failed)
	}}
	return &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}}
}

func (w *Watcher) byEvents(ctx context.Context, url string) error {
	body, err := json.Marshal(map[string]string{"query": watchQuery})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"text/event-stream"}}
	response, err := narrow().Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", response.Status)
	}
	w.connected()
	lines := bufio.NewReaderSize(response.Body, 4<<10)
	for first := true; ; {
		line, err := w.line(lines)
		if err != nil {
			return err
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		if err := w.take([]byte(data), first); err != nil {
			return err
		}
		first = false
	}
}

func (w *Watcher) line(r *bufio.Reader) (string, error) {
	w.gate.Lock()
	defer w.gate.Unlock()
	line, err := r.ReadString('\n')
	if errors.Is(err, io.EOF) {
		return "", io.ErrUnexpectedEOF
	}
	return strings.TrimSuffix(line, "\n"), err
}

func (w *Watcher) byWebSocket(ctx context.Context, url string) error {
	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(url, "http"), &websocket.DialOptions{ //nolint:bodyclose // it has none
		HTTPClient: narrow(), Subprotocols: []string{"graphql-transport-ws"},
	})
	if err != nil {
		return err
	}
	defer conn.CloseNow() //nolint:errcheck // it may be over
	conn.SetReadLimit(watchMessage)
	payload, err := json.Marshal(map[string]any{"id": "1", "type": "subscribe", "payload": map[string]string{"query": watchQuery}})
	if err != nil {
		return err
	}
	if err := conn.Write(ctx, websocket.MessageText, []byte(`{"type":"connection_init"}`)); err != nil {
		return err
	}
	if _, _, err := conn.Read(ctx); err != nil { // that it is taken
		return err
	}
	if err := conn.Write(ctx, websocket.MessageText, payload); err != nil {
		return err
	}
	w.connected()
	for first := true; ; {
		text, err := w.message(ctx, conn)
		if err != nil {
			return err
		}
		var m struct {
			Type    string
			Payload json.RawMessage
		}
		if err := json.Unmarshal(text, &m); err != nil {
			return err
		}
		switch m.Type {
		case "ping":
			if err := conn.Write(ctx, websocket.MessageText, []byte(`{"type":"pong"}`)); err != nil {
				return err
			}
		case "next":
			if err := w.take(m.Payload, first); err != nil {
				return err
			}
			first = false
		case "error", "complete":
			return fmt.Errorf("%s: %s", m.Type, m.Payload)
		}
	}
}

func (w *Watcher) message(ctx context.Context, conn *websocket.Conn) ([]byte, error) {
	w.gate.Lock()
	defer w.gate.Unlock()
	_, text, err := conn.Read(ctx)
	return text, err
}

func (w *Watcher) connected() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.connections++
}

// take takes an update; an error ends the connection.
func (w *Watcher) take(text []byte, first bool) error {
	var answer struct {
		Data struct {
			Tally *struct {
				Seq      string
				Snapshot bool
				Counts   []struct {
					Username string
					Votes    int64
				}
			}
		}
		Errors []struct{ Message string }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return err
	}
	u := answer.Data.Tally
	if u == nil {
		return fmt.Errorf("%s", text)
	}
	seq, err := strconv.ParseInt(u.Seq, 10, 64)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.updates++
	if err != nil || seq <= w.seq {
		w.wrong = append(w.wrong, fmt.Sprintf("%s: update %q after %d", w, u.Seq, w.seq))
	}
	if first && !u.Snapshot {
		w.wrong = append(w.wrong, fmt.Sprintf("%s: the first update of a connection is no snapshot", w))
	}
	w.seq = seq
	before := w.counts
	if u.Snapshot {
		w.counts = map[string]int64{}
	}
	for _, c := range u.Counts {
		if c.Votes < before[c.Username] {
			w.wrong = append(w.wrong, fmt.Sprintf("%s: %s has %d after %d", w, c.Username, c.Votes, before[c.Username]))
		}
		w.counts[c.Username] = c.Votes
	}
	return nil
}
