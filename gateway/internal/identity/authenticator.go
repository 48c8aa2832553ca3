package identity

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/origin"
	"github.com/littlevote/littlevote/gateway/internal/tenant"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

const (
	// Cookie is where a browser keeps its session.
	Cookie = "littlevote_session"
	// sessionPrefix begins the tokens of sessions; no JWT begins so.
	sessionPrefix = "lvs_"
	// userPrefix begins the ids of users; those of other voters begin otherwise.
	userPrefix = "user:"
	maxToken   = 8 << 10 // bytes
	retryAfter = time.Second
)

// Sessions checks sessions.
type Sessions interface {
	// Check returns whose session it is, and prolongs it; an answer.Refusal, UNAUTHENTICATED if there is no such session.
	Check(ctx context.Context, token string) (Session, error)
}

// Session is one that somebody has begun by a login.
type Session struct {
	User   string // the user's id: "user:" and more
	Tenant string
}

// Authenticator finds out who calls. It is safe for concurrent use.
type Authenticator struct {
	tokens   *tokens
	sessions Sessions // nil: there are none
	origins  *origin.Guard
}

// New returns an authenticator; sessions may be nil.
func New(cfg Config, sessions Sessions) (*Authenticator, error) {
	verifying, err := newTokens(cfg)
	if err != nil {
		return nil, err
	}
	origins, err := origin.New(cfg.Origins, false)
	if err != nil {
		return nil, err
	}
	return &Authenticator{tokens: verifying, sessions: sessions, origins: origins}, nil
}

// Identify returns the context of a request, with who sent it; that of the request itself for somebody unknown of the
// default tenant. On a refusal it sets what HTTP wants said beside the answer.
func (a *Authenticator) Identify(w http.ResponseWriter, r *http.Request) (context.Context, *answer.Refusal) {
	authorization, cookies, named := r.Header["Authorization"], r.Header["Cookie"], r.Header[tenant.Header]
	if authorization == nil && cookies == nil && named == nil {
		return r.Context(), nil
	}
	token, fromCookie, refused := a.credentials(r, authorization, cookies)
	var ctx context.Context
	if refused == nil {
		ctx, refused = a.identify(r.Context(), token, named)
	}
	if refused != nil && refused.Code == statusv1.Code_CODE_UNAUTHENTICATED {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		if fromCookie { // else a browser could not even log in again
			//nolint:gosec // it holds nothing, and a browser takes it over http as well, as it may have the other
			http.SetCookie(w, &http.Cookie{Name: Cookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		}
	}
	return ctx, refused
}

// Token is Identify where the token comes by another way than a header, such as the first message of a WebSocket. Who
// comes with a token by both ways has that of the message.
func (a *Authenticator) Token(ctx context.Context, token string) (context.Context, *answer.Refusal) {
	var named []string
	if t := From(ctx).Tenant; t != "" {
		named = []string{string(t)}
	}
	return a.identify(ctx, strings.TrimPrefix(token, "Bearer "), named)
}

// credentials returns the token of a request, empty where there is none.
func (a *Authenticator) credentials(r *http.Request, authorization, cookies []string) (string, bool, *answer.Refusal) {
	if authorization != nil {
		const scheme = "bearer "
		if len(authorization) != 1 || len(authorization[0]) <= len(scheme) || !strings.EqualFold(authorization[0][:len(scheme)], scheme) {
			return "", false, wrong(errors.New("no single Bearer token"))
		}
		return strings.TrimLeft(authorization[0][len(scheme):], " "), false, nil
	}
	for _, line := range cookies {
		if !strings.Contains(line, Cookie) {
			continue
		}
		cookie, err := r.Cookie(Cookie)
		if err != nil || cookie.Value == "" {
			return "", false, nil // another cookie's name or value holds the word
		}
		// Also what only reads: it prolongs the session, and a stream is opened by GET.
		if !a.origins.Own(r) {
			return "", false, &answer.Refusal{
				Code: statusv1.Code_CODE_PERMISSION_DENIED, Text: answer.PermissionDenied, Cause: errors.New("a cookie from another origin"),
			}
		}
		if !strings.HasPrefix(cookie.Value, sessionPrefix) {
			return "", true, wrong(errors.New("no session's token"))
		}
		return cookie.Value, true, nil
	}
	return "", false, nil
}

func (a *Authenticator) identify(ctx context.Context, token string, named []string) (context.Context, *answer.Refusal) {
	claimed, refused := namedTenant(named)
	if refused != nil {
		return nil, refused
	}
	if token == "" {
		if claimed == "" {
			return ctx, nil
		}
		return With(ctx, &Identity{Tenant: claimed}), nil
	}
	who, refused := a.verify(ctx, token)
	if refused != nil {
		return nil, refused
	}
	if len(named) > 0 && claimed != who.Tenant {
		return nil, &answer.Refusal{Code: statusv1.Code_CODE_PERMISSION_DENIED, Text: answer.OtherTenant}
	}
	return With(ctx, who), nil
}

// namedTenant returns the tenant that a header names.
func namedTenant(named []string) (tenant.Name, *answer.Refusal) {
	if len(named) == 0 {
		return "", nil
	}
	name, ok := tenant.Parse(named[0])
	if !ok || name == "" || len(named) > 1 {
		return "", answer.NotValid(answer.TenantFormat)
	}
	return name, nil
}

func (a *Authenticator) verify(ctx context.Context, token string) (*Identity, *answer.Refusal) {
	if len(token) > maxToken {
		return nil, wrong(errors.New("the token is too long"))
	}
	if strings.HasPrefix(token, sessionPrefix) {
		return a.session(ctx, token)
	}
	return a.tokens.verify(ctx, token)
}

func (a *Authenticator) session(ctx context.Context, token string) (*Identity, *answer.Refusal) {
	if a.sessions == nil {
		return nil, wrong(errors.New("there are no sessions here"))
	}
	session, err := a.sessions.Check(ctx, token)
	if err != nil {
		return nil, answer.RefusalOf(err)
	}
	of, ok := tenant.Parse(session.Tenant)
	if !ok || len(session.User) <= len(userPrefix) || !strings.HasPrefix(session.User, userPrefix) {
		return nil, answer.RefusalOf(errors.New("a session without a user or tenant of ours"))
	}
	return &Identity{Tenant: of, Voter: session.User}, nil
}

// wrong refuses credentials. The cause is for the log; it never holds the token.
func wrong(cause error) *answer.Refusal {
	return &answer.Refusal{Code: statusv1.Code_CODE_UNAUTHENTICATED, Text: answer.Unauthenticated, Cause: cause}
}

// away says that nobody can tell now.
func away(cause error) *answer.Refusal {
	return &answer.Refusal{
		Code: statusv1.Code_CODE_UNAVAILABLE, Text: answer.Unavailable, Retryable: true, RetryAfter: retryAfter, Cause: cause,
	}
}
