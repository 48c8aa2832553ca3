package httpapi

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/engine"
	"github.com/littlevote/littlevote/gateway/internal/origin"
	"github.com/littlevote/littlevote/gateway/internal/overload"
	"github.com/littlevote/littlevote/gateway/internal/visit"
)

// Config bounds a Handler.
type Config struct {
	Route      string        // where it is served, for the observer
	MaxBody    int           // bytes of a body, or of a query string
	MaxAtOnce  int           // requests at the same time; more are 429
	Timeout    time.Duration // of one request
	Playground string        // where a browser that opens the endpoint is sent; empty for nowhere
	Callers    Identifier    // nil: they are all unknown, whatever they say
	Limits     Limiter       // nil: nobody is limited
	Guard      *origin.Guard // nil: pages of other sites may ask
	Allowed    Allowed       // nil: every operation is
	ShedInside bool          // what is too much is no 429: it is executed in the context of overload.Shed, whose resolvers refuse it
	Streams    Streams
}

// Door turns requests away that would be read for nothing.
type Door interface{ Enter() bool }

// Identifier finds out who sends a request, before it is read.
type Identifier interface {
	// Identify returns the context in which the request is executed; on a refusal it has set the headers that belong to it.
	Identify(w http.ResponseWriter, r *http.Request) (context.Context, *answer.Refusal)
}

// Limiter bounds how often somebody may ask.
type Limiter interface {
	// Known refuses who has been refused before, before it is found out who it is; it takes nothing.
	Known(r *http.Request) *answer.Refusal
	// Take takes n requests from who sends, as ctx says, or refuses.
	Take(ctx context.Context, r *http.Request, n int) *answer.Refusal
}

// Observer is told of every request, and of every subscription within one.
type Observer interface {
	// Request is called when a request has ended; that of a stream lasts as long as the stream.
	Request(ctx context.Context, what Asked, took time.Duration)
	// Subscription is called when a subscription has its first answer, or has ended without one.
	Subscription(ctx context.Context, what Begun, took time.Duration)
}

// Asked is what a request was, in words that are closed sets.
type Asked struct {
	Route  string // as Config has it
	Kind   string // "query", "mutation", "subscription", or "none" where it did not come so far
	Field  string // what it asked for, as engine.Operation.Field has it; empty where it did not come so far
	Status int    // of HTTP
	Errors bool   // the answer has errors
}

// Handler serves GraphQL at any path. It is safe for concurrent use.
type Handler struct {
	cfg      Config
	engine   *engine.Engine
	door     Door
	observer Observer
	log      *slog.Logger
	running  atomic.Int64
	open     *open
	memory   sync.Pool // of *scratch
	headers  [formats][]string
	nosniff  []string
	noStore  []string
}

// New returns a handler over an engine.
func New(e *engine.Engine, cfg Config, door Door, observer Observer, log *slog.Logger) *Handler {
	return &Handler{
		cfg: cfg, engine: e, door: door, observer: observer, log: log, open: newOpen(cfg.Streams.Most),
		memory: sync.Pool{New: func() any { return new(scratch) }},
		// Header values that every answer shares; net/http only reads them.
		headers: [formats][]string{legacy: {typeLegacy + "; charset=utf-8"}, modern: {typeModern + "; charset=utf-8"}},
		nosniff: []string{"nosniff"},
		noStore: []string{"no-store"},
	}
}

const (
	kindNone     = "none"
	kindQuery    = "query"
	kindMutation = "mutation"

	kindSubscription = "subscription"
)

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	memory, _ := h.memory.Get().(*scratch)
	memory.field, memory.errors = "", false
	defer h.keep(memory)
	kind, status := kindNone, http.StatusInternalServerError
	defer func() {
		if cause := recover(); cause != nil {
			h.log.ErrorContext(r.Context(), "panic", "panic", cause, "stack", string(debug.Stack()))
			status = h.refuse(w, legacy, memory, panicked())
		}
		h.observer.Request(r.Context(), Asked{
			Route: h.cfg.Route, Kind: kind, Field: memory.field, Status: status, Errors: memory.errors,
		}, time.Since(started))
	}()
	if upgrades(r) {
		kind, status = kindSubscription, h.websocket(w, r, memory)
		return
	}
	as, acceptable := negotiate(r.Header["Accept"])
	defer h.running.Add(-1)
	shed := h.running.Add(1) > int64(h.cfg.MaxAtOnce) || !h.door.Enter()
	if shed && !h.cfg.ShedInside {
		status = h.refuse(w, as, memory, overloaded())
		return
	}
	if h.openedByBrowser(r) {
		status = http.StatusSeeOther
		http.Redirect(w, r, h.cfg.Playground, status)
		return
	}
	if h.cfg.Guard != nil && r.Method != http.MethodPost && h.cfg.Guard.Forged(r) {
		status = h.refuse(w, as, memory, forged())
		return
	}
	ctx, refusal := h.admit(w, r)
	if refusal != nil {
		status = h.turnedAway(w, r, as, memory, refusal)
		return
	}
	if shed {
		ctx = overload.Shed(ctx)
	}
	request, problem := h.read(w, r, memory)
	if problem == nil && !acceptable && !wantsEvents(r.Header["Accept"]) {
		problem = notAcceptable()
	}
	if problem != nil {
		status = h.refuse(w, as, memory, problem)
		return
	}
	request.eventsOnly = !acceptable
	kind, status = h.serve(ctx, w, r, as, request, memory)
}

func (h *Handler) identify(w http.ResponseWriter, r *http.Request) (context.Context, *answer.Refusal) {
	if h.cfg.Callers == nil {
		return r.Context(), nil
	}
	return h.cfg.Callers.Identify(w, r)
}

// admit finds out who sends a request, and takes it from what they may send. Who can't be told has sent it as well.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) (context.Context, *answer.Refusal) {
	if h.cfg.Limits == nil {
		return h.identify(w, r)
	}
	if over := h.cfg.Limits.Known(r); over != nil {
		return nil, over
	}
	ctx, refusal := h.identify(w, r)
	if refusal != nil {
		ctx = r.Context()
	}
	if over := h.cfg.Limits.Take(ctx, r, 1); over != nil {
		return nil, over
	}
	return ctx, refusal
}

// turnedAway refuses a request whose sender can't be told, or sends too often.
func (h *Handler) turnedAway(w http.ResponseWriter, r *http.Request, as format, memory *scratch, why *answer.Refusal) int {
	h.log.DebugContext(r.Context(), "turned away", "error", why)
	if why.RetryAfter > 0 {
		w.Header().Set("Retry-After", retryAfter(why.RetryAfter))
	}
	shown := h.engine.Refusal(why, r.Header)
	return h.write(w, as, answer.HTTPStatus(why.Code), &graphql.Response{Errors: gqlerror.List{shown}}, memory)
}

// retryAfter is the header's value, in seconds.
func retryAfter(wait time.Duration) string {
	return strconv.Itoa(int((wait + time.Second - 1) / time.Second))
}

// keep gives memory to the next request, unless one answer made it large.
func (h *Handler) keep(memory *scratch) {
	const most = 256 << 10
	if cap(memory.out) <= most {
		h.memory.Put(memory)
	}
}

// openedByBrowser tells a person who opened the endpoint's address from a program.
func (h *Handler) openedByBrowser(r *http.Request) bool {
	return h.cfg.Playground != "" && r.Method == http.MethodGet && r.URL.RawQuery == "" &&
		strings.Contains(r.Header.Get("Accept"), "text/html")
}

func (h *Handler) read(w http.ResponseWriter, r *http.Request, memory *scratch) (request, *problem) {
	switch r.Method {
	case http.MethodPost:
		return readPost(r, h.cfg.MaxBody, memory)
	case http.MethodGet:
		return readGet(r, h.cfg.MaxBody)
	default:
		w.Header().Set("Allow", "GET, POST")
		return request{}, methodNotAllowed("use GET or POST")
	}
}

// serve executes a request that was read, and returns what it was and the status it got.
func (h *Handler) serve(
	ctx context.Context, w http.ResponseWriter, r *http.Request, as format, request request, memory *scratch,
) (string, int) {
	document, failure := h.find(&request)
	if failure != nil {
		return kindNone, h.write(w, as, cmp.Or(failure.status, documentStatus(as)), &graphql.Response{Errors: failure.errs}, memory)
	}
	operation, errs := document.Select(request.operationName)
	if errs != nil {
		return kindNone, h.write(w, as, documentStatus(as), &graphql.Response{Errors: errs}, memory)
	}
	memory.field = operation.Field()
	kind := kindQuery
	switch {
	case operation.Mutation():
		kind = kindMutation
	case operation.Subscription():
		kind = kindSubscription
	}
	if kind == kindMutation && r.Method == http.MethodGet {
		w.Header().Set("Allow", "POST")
		return kind, h.refuse(w, as, memory, methodNotAllowed("mutations need POST"))
	}
	if request.eventsOnly && kind != kindSubscription {
		return kind, h.refuse(w, as, memory, notAcceptable())
	}
	if errs := h.engine.Bind(&operation, request.variables); errs != nil {
		return kind, h.write(w, as, documentStatus(as), &graphql.Response{Errors: errs}, memory)
	}
	if refusal := h.takeRest(ctx, r, operation); refusal != nil {
		return kind, h.turnedAway(w, r, as, memory, refusal)
	}
	if kind == kindSubscription {
		return h.subscribe(ctx, w, r, as, operation, memory)
	}
	if operation.Session() {
		ctx = visit.WithAnswer(ctx, w, r)
	}
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Timeout)
	defer cancel()
	return kind, h.write(w, as, http.StatusOK, h.engine.Execute(ctx, operation, r.Header), memory)
}

// refusalOf is what an error says that nothing happened before.
func refusalOf(code string) map[string]any {
	return map[string]any{"code": code, "retryable": false, "outcome": model.OutcomeNone.String()}
}

// documentStatus is the status of a document that can't be executed.
func documentStatus(as format) int {
	if as == legacy {
		return http.StatusOK
	}
	return http.StatusBadRequest
}

// takeRest takes for each mutation of a request but the first, which admit has taken for.
func (h *Handler) takeRest(ctx context.Context, r *http.Request, operation engine.Operation) *answer.Refusal {
	if h.cfg.Limits == nil || !operation.Mutation() || operation.Roots() < 2 { //nolint:mnd // one is taken for
		return nil
	}
	return h.cfg.Limits.Take(ctx, r, operation.Roots()-1)
}

func (h *Handler) refuse(w http.ResponseWriter, as format, memory *scratch, why *problem) int {
	extensions := refusalOf(why.code)
	if why.retryAfter > 0 {
		extensions["retryable"], extensions["retryAfterMs"] = true, why.retryAfter.Milliseconds()
		w.Header().Set("Retry-After", retryAfter(why.retryAfter))
	}
	if why.unknown {
		extensions["outcome"] = model.OutcomeUnknown.String()
	}
	return h.write(w, as, why.status, &graphql.Response{Errors: gqlerror.List{{Message: why.message, Extensions: extensions}}}, memory)
}

// write sends an answer in one piece.
func (h *Handler) write(w http.ResponseWriter, as format, status int, response *graphql.Response, memory *scratch) int {
	memory.errors = len(response.Errors) > 0
	out := appendResponse(memory.out[:0], response)
	memory.out = out
	header := w.Header()
	header["Content-Type"] = h.headers[as]
	header["X-Content-Type-Options"] = h.nosniff
	header["Cache-Control"] = h.noStore
	header["Content-Length"] = []string{strconv.Itoa(len(out))}
	w.WriteHeader(status)
	_, _ = w.Write(out) //nolint:gosec // JSON, said to be nothing else; and the client may be gone
	return status
}
