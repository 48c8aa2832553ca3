package rest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/likes"
	"github.com/littlevote/littlevote/gateway/internal/origin"
	"github.com/littlevote/littlevote/gateway/internal/reads"
	"github.com/littlevote/littlevote/gateway/internal/visit"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// Counts finds the counts of likes.
type Counts interface {
	Many(ctx context.Context, candidates []reads.Candidate, found func(i int, vote *model.UserVote, err error))
}

// Callers finds out who calls.
type Callers interface {
	Identify(w http.ResponseWriter, r *http.Request) (context.Context, *answer.Refusal)
}

// Door turns requests away that would be read for nothing.
type Door interface{ Enter() bool }

// Limiter bounds how often somebody may ask; see httpapi.Limiter.
type Limiter interface {
	Known(r *http.Request) *answer.Refusal
	Take(ctx context.Context, r *http.Request, n int) *answer.Refusal
}

// Observer is told of every request of an operation.
type Observer interface {
	Operation(ctx context.Context, what Asked, took time.Duration)
}

// Asked is what a request was, in words that are closed sets.
type Asked struct {
	Method  string
	Route   string // the path, as the API describes it
	Status  int    // of HTTP
	Refusal string // the reason of the answer; empty where it is not refused
}

// Config says what an API works with.
type Config struct {
	Blog      *likes.Blog // nil: there is none
	Counts    Counts
	Callers   Callers
	Door      Door
	Limits    Limiter       // nil: nobody is limited
	Guard     *origin.Guard // nil: pages of other sites may ask
	Texts     *answer.Texts
	Language  answer.Language
	LoginByID bool          // without a password
	MaxBody   int           // bytes
	MaxAtOnce int           // requests; more are refused
	Timeout   time.Duration // of one request
	Observer  Observer
	Log       *slog.Logger
}

// API serves everything under /api. It is safe for concurrent use.
type API struct {
	cfg     Config
	running atomic.Int64
}

// New returns a handler for /api/.
func New(cfg Config) (http.Handler, error) {
	a := &API{cfg: cfg}
	mux := http.NewServeMux()
	for pattern, run := range a.operations() {
		method, route, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, Asked{Method: method, Route: route}, run) })
	}
	if err := mountPage(mux); err != nil {
		return nil, err
	}
	return mux, nil
}

// operation is what one method of one path does.
type operation func(ctx context.Context, c call) (any, error)

// call is one request.
type call struct {
	caller likes.Caller
	query  url.Values
	header http.Header
	body   body
}

// reply is what every answer looks like. Reason is the code as GraphQL has it.
type reply struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data"`
	Reason  string `json:"reason"`
	Next    string `json:"next,omitempty"`
}

// page is data that goes on elsewhere.
type page struct {
	data any
	next string
}

// serve answers a request, and tells the observer.
func (a *API) serve(w http.ResponseWriter, r *http.Request, what Asked, run operation) {
	started := time.Now()
	out := answering{api: a, w: w, language: answer.Negotiate(r.Header.Get("Accept-Language"), a.cfg.Language)}
	defer func() {
		if cause := recover(); cause != nil {
			a.cfg.Log.ErrorContext(r.Context(), "panic", "panic", cause, "stack", string(debug.Stack()))
			out.refuse(http.StatusInternalServerError, &answer.Refusal{Code: statusv1.Code_CODE_INTERNAL, Text: answer.Internal})
		}
		what.Status, what.Refusal = out.status, out.refusal
		a.cfg.Observer.Operation(r.Context(), what, time.Since(started))
	}()
	a.answer(&out, r, run)
}

func (a *API) answer(out *answering, r *http.Request, run operation) {
	defer a.running.Add(-1)
	if a.running.Add(1) > int64(a.cfg.MaxAtOnce) || !a.cfg.Door.Enter() {
		out.refuse(http.StatusTooManyRequests, &answer.Refusal{Code: statusv1.Code_CODE_OVERLOADED, Text: answer.Overloaded, RetryAfter: time.Second})
		return
	}
	if a.cfg.Guard != nil && r.Method != http.MethodPost && a.cfg.Guard.Forged(r) {
		out.refuse(http.StatusForbidden, &answer.Refusal{Code: statusv1.Code_CODE_PERMISSION_DENIED, Text: answer.PermissionDenied})
		return
	}
	ctx, refused := a.admit(out.w, r)
	if refused != nil {
		out.refuse(answer.HTTPStatus(refused.Code), refused)
		return
	}
	c := call{query: r.URL.Query(), header: r.Header}
	if status := c.read(r, a.cfg.MaxBody); status != http.StatusOK {
		out.refuse(status, answer.NotValid(answer.Invalid))
		return
	}
	if a.cfg.Blog == nil {
		out.refuse(http.StatusOK, &answer.Refusal{Code: statusv1.Code_CODE_UNAVAILABLE, Text: answer.Unavailable})
		return
	}
	c.caller = a.cfg.Blog.Caller(ctx, r.Header)
	ctx, cancel := context.WithTimeout(visit.WithAnswer(ctx, out.w, r), a.cfg.Timeout)
	defer cancel()
	data, err := run(ctx, c)
	if err != nil {
		out.refuse(http.StatusOK, answer.RefusalOf(err))
		return
	}
	out.write(http.StatusOK, success(data))
}

// admit finds out who sends a request, and takes it from what they may send. Who can't be told has sent it as well.
func (a *API) admit(w http.ResponseWriter, r *http.Request) (context.Context, *answer.Refusal) {
	if a.cfg.Limits == nil {
		return a.cfg.Callers.Identify(w, r)
	}
	if over := a.cfg.Limits.Known(r); over != nil {
		return nil, over
	}
	ctx, refused := a.cfg.Callers.Identify(w, r)
	if refused != nil {
		ctx = r.Context()
	}
	if over := a.cfg.Limits.Take(ctx, r, 1); over != nil {
		return nil, over
	}
	return ctx, refused
}

func success(data any) reply {
	if part, ok := data.(page); ok {
		return reply{Message: "ok", Data: part.data, Reason: "OK", Next: part.next}
	}
	return reply{Message: "ok", Data: data, Reason: "OK"}
}

// read checks the type and the length of a request that may change something, and returns the status of one that is refused.
func (c *call) read(r *http.Request, most int) int {
	if r.Method != http.MethodPost {
		return http.StatusOK
	}
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return http.StatusUnsupportedMediaType
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, int64(most)+1))
	if len(text) > most {
		return http.StatusRequestEntityTooLarge
	}
	if err != nil || len(text) > 0 && json.Unmarshal(text, &c.body) != nil {
		return http.StatusBadRequest
	}
	return http.StatusOK
}

// answering is the answer to one request.
type answering struct {
	api      *API
	w        http.ResponseWriter
	language answer.Language
	status   int    // that was written
	refusal  string // of Asked
}

func (o *answering) refuse(status int, refused *answer.Refusal) {
	cfg := o.api.cfg
	if refused.Code == statusv1.Code_CODE_INTERNAL {
		cfg.Log.Error("internal error", "error", refused)
	}
	if refused.RetryAfter > 0 {
		o.w.Header().Set("Retry-After", strconv.Itoa(int((refused.RetryAfter+time.Second-1)/time.Second)))
	}
	o.refusal = cfg.Texts.Name(refused.Code)
	out := reply{Code: number(refused.Code), Message: cfg.Texts.Say(refused.Text, o.language), Reason: o.refusal}
	var own *noChange
	if errors.As(refused, &own) { // a like or an unlike that was refused
		out.Data = false
	}
	o.write(status, out)
}

func (o *answering) write(status int, out reply) {
	text, err := json.Marshal(out)
	if err != nil { // never: the data are ours
		status, text = http.StatusInternalServerError, []byte(`{"code":50000,"message":"internal error","data":null,"reason":"INTERNAL"}`)
	}
	o.status = status
	header := o.w.Header()
	header.Set("Content-Type", "application/json; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	o.w.WriteHeader(status)
	_, _ = o.w.Write(text)
}

// number is a code as this family of systems has them: 0, or what HTTP would say with two more digits.
func number(code statusv1.Code) int {
	switch code {
	case statusv1.Code_CODE_OK:
		return 0
	case statusv1.Code_CODE_INVALID_ARGUMENT:
		return 40000
	case statusv1.Code_CODE_UNAUTHENTICATED:
		return 40100
	case statusv1.Code_CODE_PERMISSION_DENIED:
		return 40101
	case statusv1.Code_CODE_NOT_FOUND:
		return 40400
	case statusv1.Code_CODE_RATE_LIMITED, statusv1.Code_CODE_OVERLOADED:
		return 42900
	case statusv1.Code_CODE_ALREADY_LIKED, statusv1.Code_CODE_NOT_LIKED, statusv1.Code_CODE_ALREADY_EXISTS, statusv1.Code_CODE_KEY_REUSED:
		return 50001
	case statusv1.Code_CODE_OUTCOME_UNKNOWN:
		return 50002
	case statusv1.Code_CODE_UNAVAILABLE:
		return 50300
	default:
		return 50000
	}
}
