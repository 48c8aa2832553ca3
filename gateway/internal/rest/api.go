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
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, run) })
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

func (a *API) serve(w http.ResponseWriter, r *http.Request, run operation) {
	language := answer.Negotiate(r.Header.Get("Accept-Language"), a.cfg.Language)
	defer func() {
		if cause := recover(); cause != nil {
			a.cfg.Log.ErrorContext(r.Context(), "panic", "panic", cause, "stack", string(debug.Stack()))
			a.refuse(w, http.StatusInternalServerError, language, &answer.Refusal{Code: statusv1.Code_CODE_INTERNAL, Text: answer.Internal})
		}
	}()
	defer a.running.Add(-1)
	if a.running.Add(1) > int64(a.cfg.MaxAtOnce) || !a.cfg.Door.Enter() {
		a.refuse(w, http.StatusTooManyRequests, language, &answer.Refusal{
			Code: statusv1.Code_CODE_OVERLOADED, Text: answer.Overloaded, RetryAfter: time.Second,
		})
		return
	}
	if a.cfg.Guard != nil && r.Method != http.MethodPost && a.cfg.Guard.Forged(r) {
		a.refuse(w, http.StatusForbidden, language, &answer.Refusal{Code: statusv1.Code_CODE_PERMISSION_DENIED, Text: answer.PermissionDenied})
		return
	}
	ctx, refused := a.admit(w, r)
	if refused != nil {
		a.refuse(w, answer.HTTPStatus(refused.Code), language, refused)
		return
	}
	c := call{query: r.URL.Query(), header: r.Header}
	if status := c.read(r, a.cfg.MaxBody); status != http.StatusOK {
		a.refuse(w, status, language, answer.NotValid(answer.Invalid))
		return
	}
	if a.cfg.Blog == nil {
		a.refuse(w, http.StatusOK, language, &answer.Refusal{Code: statusv1.Code_CODE_UNAVAILABLE, Text: answer.Unavailable})
		return
	}
	c.caller = a.cfg.Blog.Caller(ctx, r.Header)
	ctx, cancel := context.WithTimeout(visit.WithAnswer(ctx, w, r), a.cfg.Timeout)
	defer cancel()
	data, err := run(ctx, c)
	if err != nil {
		a.refuse(w, http.StatusOK, language, answer.RefusalOf(err))
		return
	}
	a.write(w, http.StatusOK, success(data))
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

func (a *API) refuse(w http.ResponseWriter, status int, language answer.Language, refused *answer.Refusal) {
	if refused.Code == statusv1.Code_CODE_INTERNAL {
		a.cfg.Log.Error("internal error", "error", refused)
	}
	if refused.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((refused.RetryAfter+time.Second-1)/time.Second)))
	}
	out := reply{Code: number(refused.Code), Message: a.cfg.Texts.Say(refused.Text, language), Reason: a.cfg.Texts.Name(refused.Code)}
	var own *noChange
	if errors.As(refused, &own) { // a like or an unlike that was refused
		out.Data = false
	}
	a.write(w, status, out)
}

func (a *API) write(w http.ResponseWriter, status int, out reply) {
	text, err := json.Marshal(out)
	if err != nil { // never: the data are ours
		status, text = http.StatusInternalServerError, []byte(`{"code":50000,"message":"internal error","data":null,"reason":"INTERNAL"}`)
	}
	header := w.Header()
	header.Set("Content-Type", "application/json; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(text)
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
