package identity

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/identity/identitytest"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// sessions know two.
type sessions struct{}

func (sessions) Check(_ context.Context, token string) (Session, error) {
	switch token {
	case "lvs_ann":
		return Session{User: "user:1", Tenant: "acme"}, nil
	case "lvs_odd":
		return Session{User: "1"}, nil
	case "lvs_away":
		return Session{}, away(errors.New("no blog-service"))
	default:
		return Session{}, wrong(errors.New("no such session"))
	}
}

func request(method string, header ...string) *http.Request {
	r := httptest.NewRequest(method, "http://vote.example/graphql", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func TestWhoCalls(t *testing.T) {
	issuer := identitytest.New(t)
	a := newAuthenticator(t, config(issuer), sessions{})
	bearer := "Bearer " + issuer.Token("alice", "acme", "")
	alice := Identity{Tenant: "acme", Voter: VoterID(issuer.URL, "alice")}
	ann := Identity{Tenant: "acme", Voter: "user:1"}
	const ok, bad, forbidden, invalid = statusv1.Code_CODE_OK, statusv1.Code_CODE_UNAUTHENTICATED,
		statusv1.Code_CODE_PERMISSION_DENIED, statusv1.Code_CODE_INVALID_ARGUMENT
	for name, test := range map[string]struct {
		header []string
		want   Identity
		code   statusv1.Code
	}{
		"nobody":               {},
		"nobody of a tenant":   {header: []string{"Littlevote-Tenant", "acme"}, want: Identity{Tenant: "acme"}},
		"other cookies":        {header: []string{"Cookie", "theme=dark; x_littlevote_session=1"}},
		"an empty cookie":      {header: []string{"Cookie", Cookie + "="}},
		"a token":              {header: []string{"Authorization", bearer}, want: alice},
		"bearer in lower case": {header: []string{"Authorization", "bearer" + bearer[6:]}, want: alice},
		"a session":            {header: []string{"Authorization", "Bearer lvs_ann"}, want: ann},
		"a cookie":             {header: []string{"Cookie", "a=b; " + Cookie + "=lvs_ann"}, want: ann},
		"token before cookie":  {header: []string{"Authorization", bearer, "Cookie", Cookie + "=lvs_ann"}, want: alice},
		"its own tenant":       {header: []string{"Authorization", bearer, "Littlevote-Tenant", "acme"}, want: alice},

		"another tenant":         {header: []string{"Authorization", bearer, "Littlevote-Tenant", "other"}, code: forbidden},
		"a session elsewhere":    {header: []string{"Authorization", "Bearer lvs_ann", "Littlevote-Tenant", "other"}, code: forbidden},
		"a tenant with a dot":    {header: []string{"Littlevote-Tenant", "acme.main"}, code: invalid},
		"a tenant without name":  {header: []string{"Littlevote-Tenant", ""}, code: invalid},
		"two tenants":            {header: []string{"Littlevote-Tenant", "a", "Littlevote-Tenant", "b"}, code: invalid},
		"another scheme":         {header: []string{"Authorization", "Basic YTpi"}, code: bad},
		"no token":               {header: []string{"Authorization", "Bearer "}, code: bad},
		"an empty header":        {header: []string{"Authorization", ""}, code: bad},
		"two tokens":             {header: []string{"Authorization", bearer, "Authorization", bearer}, code: bad},
		"a bad token, a session": {header: []string{"Authorization", "Bearer x", "Cookie", Cookie + "=lvs_ann"}, code: bad},
		"an ended session":       {header: []string{"Authorization", "Bearer lvs_gone"}, code: bad},
		"a token as a cookie":    {header: []string{"Cookie", Cookie + "=" + bearer[7:]}, code: bad},
		"no blog-service":        {header: []string{"Authorization", "Bearer lvs_away"}, code: statusv1.Code_CODE_UNAVAILABLE},
		"a broken blog-service":  {header: []string{"Authorization", "Bearer lvs_odd"}, code: statusv1.Code_CODE_INTERNAL},
		"another site's page":    {header: []string{"Cookie", Cookie + "=lvs_ann", "Sec-Fetch-Site", "cross-site"}, code: forbidden},
		"another origin":         {header: []string{"Cookie", Cookie + "=lvs_ann", "Origin", "https://evil.example"}, code: forbidden},
		"the same origin":        {header: []string{"Cookie", Cookie + "=lvs_ann", "Origin", "http://vote.example"}, want: ann},
	} {
		ctx, refused := a.Identify(httptest.NewRecorder(), request(http.MethodPost, test.header...))
		if test.code == 0 {
			test.code = ok
		}
		if code(refused) != test.code {
			t.Errorf("%s: %v", name, refused)
			continue
		}
		if test.code == ok {
			if diff := cmp.Diff(test.want, From(ctx), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
}

// A page of somebody else may not open a stream with the cookie of its reader, though that is a GET.
func TestAStreamOfAnotherOrigin(t *testing.T) {
	a := newAuthenticator(t, config(identitytest.New(t)), sessions{})
	for origin, want := range map[string]statusv1.Code{
		"https://evil.example": statusv1.Code_CODE_PERMISSION_DENIED, "http://vote.example": statusv1.Code_CODE_OK,
	} {
		r := request(http.MethodGet, "Cookie", Cookie+"=lvs_ann", "Upgrade", "websocket", "Origin", origin)
		if _, refused := a.Identify(httptest.NewRecorder(), r); code(refused) != want {
			t.Errorf("%s: %v", origin, refused)
		}
	}
}

// Who has a cookie of a session that has ended can log in again: the refusal takes it away.
func TestAnEndedSessionsCookieIsTakenAway(t *testing.T) {
	a := newAuthenticator(t, config(identitytest.New(t)), sessions{})
	w := httptest.NewRecorder()
	if _, refused := a.Identify(w, request(http.MethodPost, "Cookie", Cookie+"=lvs_gone")); code(refused) != statusv1.Code_CODE_UNAUTHENTICATED {
		t.Fatal(refused)
	}
	header := w.Header()
	if !strings.HasPrefix(header.Get("Set-Cookie"), Cookie+"=; Path=/; Max-Age=0") || !strings.HasPrefix(header.Get("WWW-Authenticate"), "Bearer") {
		t.Errorf("%v", header)
	}
}

func TestATokenInAMessage(t *testing.T) {
	issuer := identitytest.New(t)
	a := newAuthenticator(t, config(issuer), nil)
	token := issuer.Token("alice", "acme", "")
	for _, said := range []string{token, "Bearer " + token} {
		ctx, refused := a.Token(t.Context(), said)
		if refused != nil || From(ctx).Tenant != "acme" {
			t.Errorf("%v", refused)
		}
	}
	if _, refused := a.Token(With(t.Context(), &Identity{Tenant: "other"}), token); code(refused) != statusv1.Code_CODE_PERMISSION_DENIED {
		t.Errorf("under the header of another tenant: %v", refused)
	}
	if _, refused := a.Token(t.Context(), "x"); code(refused) != statusv1.Code_CODE_UNAUTHENTICATED {
		t.Errorf("garbage: %v", refused)
	}
}

// A refusal never holds the token, which would then stand in a log.
func TestRefusalsHideTokens(t *testing.T) {
	issuer := identitytest.New(t)
	a := newAuthenticator(t, config(issuer), nil)
	claims := issuer.Good()
	claims["aud"] = "another"
	token := issuer.Sign(claims)
	for _, said := range []string{token, "secretsecret.secret.x"} {
		_, refused := a.verify(t.Context(), said)
		if text := refused.Error(); strings.Contains(text, said) || strings.Contains(text, said[len(said)-20:]) {
			t.Error(text)
		}
	}
}

func TestARequestWithoutCredentialsCostsNothing(t *testing.T) {
	a := newAuthenticator(t, config(identitytest.New(t)), nil)
	w, r := httptest.NewRecorder(), request(http.MethodPost, "Content-Type", "application/json")
	var ctx context.Context
	var refused *answer.Refusal
	if n := testing.AllocsPerRun(100, func() {
		ctx, refused = a.Identify(w, r)
		_ = From(ctx)
	}); n != 0 || refused != nil || ctx != r.Context() {
		t.Errorf("%v allocations", n)
	}
}

func TestKeyFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"missing": "", "garbage": "x", "empty": `{"keys":[]}`,
		"private": `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}]}`,
		"secret":  `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`,
	} {
		file := filepath.Join(dir, name)
		if text != "" {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := New(Config{Issuers: []string{"x"}, JWKSFile: file}, nil)
		if err == nil || strings.Contains(err.Error(), "nWGxne") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
