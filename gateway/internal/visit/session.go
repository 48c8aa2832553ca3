package visit

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/littlevote/littlevote/gateway/internal/identity"
)

// Token returns the session's token that a request came with, empty for none: the header's before the cookie's.
func Token(header http.Header) string {
	const scheme, session = "bearer ", "lvs_"
	if given := header.Get("Authorization"); given != "" {
		if len(given) > len(scheme) && strings.EqualFold(given[:len(scheme)], scheme) {
			if token := strings.TrimLeft(given[len(scheme):], " "); strings.HasPrefix(token, session) {
				return token
			}
		}
		return ""
	}
	cookie, err := (&http.Request{Header: header}).Cookie(identity.Cookie)
	if err != nil || !strings.HasPrefix(cookie.Value, session) {
		return ""
	}
	return cookie.Value
}

type answerKey struct{}

// answer is where a session's cookie goes.
type answer struct {
	w      http.ResponseWriter
	secure bool
}

// WithAnswer lets Begin and End set the cookie of the answer to a request, until its headers are sent.
func WithAnswer(ctx context.Context, w http.ResponseWriter, r *http.Request) context.Context {
	secure := r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
	return context.WithValue(ctx, answerKey{}, answer{w: w, secure: secure})
}

// Begin gives a browser its session. Scripts can't read the cookie, pages of others can't use it for anything but plain
// links, and one that came by TLS goes by nothing else.
func Begin(ctx context.Context, token string, end time.Time) { set(ctx, token, end, 0) }

// End takes a browser's session away.
func End(ctx context.Context) { set(ctx, "", time.Time{}, -1) }

// set does nothing where there is no answer to set it in, as on a WebSocket.
func set(ctx context.Context, value string, end time.Time, maxAge int) {
	to, ok := ctx.Value(answerKey{}).(answer)
	if !ok {
		return
	}
	http.SetCookie(to.w, &http.Cookie{ //nolint:gosec // Secure is what the request came by: else there would be no session without TLS
		Name: identity.Cookie, Value: value, Path: "/", Expires: end, MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: to.secure,
	})
}
