package httpapi

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/littlevote/littlevote/gateway/internal/identity"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// Streams bounds what lasts longer than a request: WebSockets and event streams.
type Streams struct {
	Most         int           // at once
	PerSocket    int           // subscriptions of one WebSocket
	WriteTimeout time.Duration // of one message
	InitTimeout  time.Duration // how long a WebSocket may stay without a connection_init
	PingEvery    time.Duration // how often it is looked whether a client is still there
	LookEvery    time.Duration // how often it is looked whether a client's token is still good
	Origins      []string      // whose pages may open WebSockets, beside our own: "https://example.org"
}

// open is the streams there are.
type open struct {
	draining context.Context //nolint:containedctx // ends when they shall
	drain    context.CancelFunc
	most     int

	mu    sync.Mutex
	count int
	wait  sync.WaitGroup
}

func newOpen(most int) *open {
	o := &open{most: most}
	o.draining, o.drain = context.WithCancel(context.Background())
	return o
}

// enter counts a stream in, unless there are too many, or all shall end.
func (o *open) enter() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.count >= o.most || o.draining.Err() != nil {
		return false
	}
	o.count++
	o.wait.Add(1)
	return true
}

func (o *open) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.count--
	o.wait.Done()
}

type connectionKey struct{}

// Connection is for http.Server.ConnContext. It lets streams bound what their connections hold that is not sent yet.
func Connection(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, conn)
}

// unsent is how many bytes of a stream the kernel may hold, about. It takes megabytes otherwise for a client that does not
// read, and what stands there grows old.
const unsent = 32 << 10

// narrow bounds what the connection of a stream holds.
func narrow(r *http.Request) {
	conn, _ := r.Context().Value(connectionKey{}).(net.Conn)
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = secure.NetConn()
	}
	if plain, ok := conn.(interface{ SetWriteBuffer(bytes int) error }); ok {
		_ = plain.SetWriteBuffer(unsent) // it works without
	}
}

// Open is how many streams there are.
func (h *Handler) Open() int {
	h.open.mu.Lock()
	defer h.open.mu.Unlock()
	return h.open.count
}

// Drain ends all streams and takes no new ones: WebSockets are closed as "going away", event streams end without
// "complete", so that clients of both go elsewhere and subscribe again.
func (h *Handler) Drain() {
	h.open.mu.Lock()
	defer h.open.mu.Unlock()
	h.open.drain()
}

// Wait waits until all streams have ended, at most as long as ctx.
func (h *Handler) Wait(ctx context.Context) {
	done := make(chan struct{})
	go func() { h.open.wait.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// believed reports whether a token that began a stream is still good. A session is not asked about again: that would prolong
// it, and a page that is left open is no sign of somebody there.
func (h *Handler) believed(ctx context.Context, r *http.Request) bool {
	if who := identity.From(ctx); who.Voter == "" || strings.HasPrefix(who.Voter, sessionVoter) {
		return true
	}
	_, refusal := h.identify(discarded{}, r.WithContext(ctx))
	return refusal == nil || refusal.Code == statusv1.Code_CODE_UNAVAILABLE
}

// sessionVoter begins the ids of voters who have come with a session.
const sessionVoter = "user:"

// discarded takes the headers of an answer that is not given.
type discarded struct{}

func (discarded) Header() http.Header         { return http.Header{} }
func (discarded) Write(b []byte) (int, error) { return len(b), nil }
func (discarded) WriteHeader(int)             {}

const typeEvents = "text/event-stream"

// wantsEvents reports whether an Accept header names the type of event streams: a wildcard does not.
func wantsEvents(header []string) bool {
	for _, line := range header {
		for item := range strings.SplitSeq(line, ",") {
			mediaRange, parameters, _ := strings.Cut(item, ";")
			if strings.EqualFold(strings.TrimSpace(mediaRange), typeEvents) && quality(parameters) > 0 {
				return true
			}
		}
	}
	return false
}

// keepAlive is how often a comment is sent on an event stream where nothing else is: proxies close what is silent.
const keepAlive = 12 * time.Second

// events is an event stream that is being written.
type events struct {
	control *http.ResponseController
	timeout time.Duration

	mu  sync.Mutex
	w   http.ResponseWriter
	out []byte
}

// begin answers a request with an event stream, which may last longer than the server's deadlines for requests.
func (h *Handler) begin(w http.ResponseWriter) *events {
	header := w.Header()
	header.Set("Content-Type", typeEvents+"; charset=utf-8")
	header["X-Content-Type-Options"] = h.nosniff
	header["Cache-Control"] = h.noStore
	header.Set("X-Accel-Buffering", "no") // proxies shall pass each event on
	e := &events{w: w, control: http.NewResponseController(w), timeout: h.cfg.Streams.WriteTimeout}
	_ = e.control.SetReadDeadline(time.Time{})
	w.WriteHeader(http.StatusOK)
	return e
}

// next sends an answer; false if the client is not there any more, or does not read.
func (e *events) next(response *graphql.Response) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.out = appendResponse(append(e.out[:0], "event: next\ndata: "...), response)
	e.out = append(e.out, "\n\n"...)
	return e.write(e.out)
}

func (e *events) send(text string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.write([]byte(text))
}

func (e *events) write(out []byte) bool {
	if e.control.SetWriteDeadline(time.Now().Add(e.timeout)) != nil {
		return false
	}
	_, err := e.w.Write(out)
	return err == nil && e.control.Flush() == nil
}

// complete says that nothing follows.
func (e *events) complete() { e.send("event: complete\ndata:\n\n") }

// appendResponse writes an answer as JSON. Without data there is no member "data": the operation was not executed.
func appendResponse(out []byte, response *graphql.Response) []byte {
	out = append(out, '{')
	if len(response.Errors) > 0 {
		out = append(out, `"errors":`...)
		out = append(out, marshalErrors(response.Errors)...)
	}
	if response.Data != nil {
		if len(response.Errors) > 0 {
			out = append(out, ',')
		}
		out = append(out, `"data":`...)
		out = append(out, response.Data...)
	}
	return append(out, '}')
}

func marshalErrors(list gqlerror.List) []byte {
	errors, err := json.Marshal(list)
	if err != nil { // the extensions are ours, and plain
		errors = []byte(`[{"message":"internal error"}]`)
	}
	return errors
}

// Begun is how a subscription has begun, in words that are closed sets.
type Begun struct {
	Route   string // as Config has it
	Field   string // as Asked has it
	Problem string // "graphql" where its first answer has errors or it is refused, "gone" where its client does not wait for one
}

// beginning waits for the first answer of a subscription.
type beginning struct {
	h     *Handler
	field string
	asked time.Time
	told  bool
}

// answered is called with each answer.
func (b *beginning) answered(ctx context.Context, errs gqlerror.List) {
	if len(errs) > 0 {
		b.tell(ctx, "graphql")
		return
	}
	b.tell(ctx, "")
}

// over is called at the end.
func (b *beginning) over(ctx context.Context) { b.tell(ctx, "gone") }

func (b *beginning) tell(ctx context.Context, problem string) {
	if b.told {
		return
	}
	b.told = true
	b.h.observer.Subscription(ctx, Begun{Route: b.h.cfg.Route, Field: b.field, Problem: problem}, time.Since(b.asked))
}
