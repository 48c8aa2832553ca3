package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/identity/identitytest"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// clock is one that a test moves.
type clock struct{ ahead time.Duration }

func (c *clock) now() time.Time { return time.Now().Add(c.ahead) }

func config(issuer *identitytest.Issuer) Config {
	return Config{
		Issuers: []string{issuer.URL}, Audience: identitytest.Audience, Algorithms: []string{"RS256", "ES256", "EdDSA"}, Now: time.Now,
	}
}

func newAuthenticator(t testing.TB, cfg Config, sessions Sessions) *Authenticator {
	t.Helper()
	a, err := New(cfg, sessions)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func code(refused *answer.Refusal) statusv1.Code {
	if refused == nil {
		return statusv1.Code_CODE_OK
	}
	return refused.Code
}

func TestWhoATokenIsOf(t *testing.T) {
	issuer := identitytest.New(t)
	a := newAuthenticator(t, config(issuer), nil)
	claims := issuer.Good()
	claims["tenant"], claims["scope"] = "acme", "openid  ballots:admin"
	for name, change := range map[string]func(identitytest.Claims){
		"as it is":          func(identitytest.Claims) {},
		"scopes in a list":  func(c identitytest.Claims) { c["scope"] = []string{"openid", "ballots:admin"} },
		"several audiences": func(c identitytest.Claims) { c["aud"] = []string{"other", identitytest.Audience} },
		"clocks differ":     func(c identitytest.Claims) { c["nbf"], c["iat"] = time.Now().Unix()+20, time.Now().Unix()+20 },
		"just expired":      func(c identitytest.Claims) { c["exp"] = time.Now().Unix() - 20 },
	} {
		changed := maps.Clone(claims)
		change(changed)
		who, refused := a.verify(t.Context(), issuer.Sign(changed))
		if refused != nil {
			t.Errorf("%s: %v", name, refused)
			continue
		}
		want := &Identity{Tenant: "acme", Voter: VoterID(issuer.URL, "alice"), Scopes: []string{"openid", "ballots:admin"}}
		if diff := cmp.Diff(want, who); diff != "" || !who.Organiser() {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// The id is what whoever knows issuer and subject computes, and tells others nothing.
func TestAVotersIdCanBeMadeAgain(t *testing.T) {
	// printf 'littlevote-dev\0alice' | sha256sum
	if got := VoterID("littlevote-dev", "alice"); got != "jwt:3652874bd704288c5d0f68d4f57245a5" {
		t.Error(got)
	}
	if VoterID("a", "bc") == VoterID("ab", "c") {
		t.Error("two voters have one id")
	}
}

func TestBadTokens(t *testing.T) {
	issuer, stranger := identitytest.New(t), identitytest.New(t)
	a := newAuthenticator(t, config(issuer), nil)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	with := func(name string, value any) string {
		claims := issuer.Good()
		claims[name] = value
		return issuer.Sign(claims)
	}
	without := func(name string) string {
		claims := issuer.Good()
		delete(claims, name)
		return issuer.Sign(claims)
	}
	signed := func(algorithm jose.SignatureAlgorithm, key any, id string) string {
		return issuer.SignWith(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: key, KeyID: id}}, issuer.Good())
	}
	good := issuer.Sign(issuer.Good())
	parts := strings.Split(good, ".")
	raw := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	now := time.Now()
	for name, token := range map[string]string{
		"garbage":                  "x.y.z",
		"two parts":                parts[0] + "." + parts[1],
		"100 KB":                   strings.Repeat("a", 100_000),
		"a good one and 8 KiB":     good + strings.Repeat("A", maxToken),
		"long claims":              with("x", strings.Repeat("a", maxToken)),
		"no signature":             parts[0] + "." + parts[1] + ".",
		"alg none":                 raw(`{"alg":"none","typ":"JWT"}`) + "." + parts[1] + ".",
		"alg None":                 raw(`{"alg":"None"}`) + "." + parts[1] + "." + parts[2],
		"alg HS256":                signed(jose.HS256, []byte(strings.Repeat("k", 32)), "first"),
		"alg off the list":         signed(jose.ES384, mustKey(t, elliptic.P384()), "first"),
		"alg that does not fit":    signed(jose.ES256, curve, "first"),
		"crit":                     raw(`{"alg":"EdDSA","kid":"first","crit":["x"],"x":1}`) + "." + parts[1] + "." + parts[2],
		"another key, same kid":    signed(jose.EdDSA, other, "first"),
		"kid traversal":            signed(jose.EdDSA, other, "../../../../dev/null"),
		"kid of SQL":               signed(jose.EdDSA, other, "x' UNION SELECT 'a"),
		"embedded key":             raw(`{"alg":"EdDSA","jwk":{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}`) + "." + parts[1] + "." + parts[2],
		"other claims, same sig":   parts[0] + "." + raw(`{"iss":"`+issuer.URL+`","sub":"root","aud":"littlevote","exp":99999999999}`) + "." + parts[2],
		"two signatures":           `{"payload":"` + parts[1] + `","signatures":[]}`,
		"stranger":                 stranger.Sign(stranger.Good()),
		"stranger as the issuer":   stranger.Sign(issuer.Good()),
		"iss with a slash":         with("iss", issuer.URL+"/"),
		"iss empty":                with("iss", ""),
		"no iss":                   without("iss"),
		"wrong aud":                with("aud", "another"),
		"no aud":                   without("aud"),
		"empty aud":                with("aud", []string{}),
		"aud is a number":          with("aud", 5),
		"expired":                  with("exp", now.Add(-time.Minute).Unix()),
		"no exp":                   without("exp"),
		"exp is a text":            with("exp", "tomorrow"),
		"not yet":                  with("nbf", now.Add(time.Minute).Unix()),
		"issued in the future":     with("iat", now.Add(time.Minute).Unix()),
		"no sub":                   without("sub"),
		"long sub":                 with("sub", strings.Repeat("s", 256)),
		"tenant with a dot":        with("tenant", "acme.x"),
		"tenant in upper case":     with("tenant", "Acme"),
		"tenant of another type":   with("tenant", []string{"acme"}),
		"long tenant":              with("tenant", strings.Repeat("a", 33)),
		"scope of another type":    with("scope", map[string]string{"ballots:admin": ""}),
		"a session, but none here": sessionPrefix + strings.Repeat("a", 43),
	} {
		if who, refused := a.verify(t.Context(), token); code(refused) != statusv1.Code_CODE_UNAUTHENTICATED || who != nil {
			t.Errorf("%s: %+v %v", name, who, refused)
		}
	}
	if _, refused := a.verify(t.Context(), good); refused != nil {
		t.Errorf("a good one: %v", refused)
	}
	if fetched := issuer.Fetched.Load(); fetched != 1 {
		t.Errorf("keys were fetched %d times, for unknown ids too", fetched)
	}
	if stranger.Asked.Load()+stranger.Fetched.Load() != 0 {
		t.Error("a token made the gateway call an issuer that is not trusted")
	}
}

func mustKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAnIssuerThatIsAway(t *testing.T) {
	issuer := identitytest.New(t)
	issuer.Away.Store(true)
	at := &clock{}
	cfg := config(issuer)
	cfg.Now = at.now
	a := newAuthenticator(t, cfg, nil)
	for range 5 {
		_, refused := a.verify(t.Context(), issuer.Sign(issuer.Good()))
		if code(refused) != statusv1.Code_CODE_UNAVAILABLE || !refused.Retryable || refused.RetryAfter <= 0 {
			t.Fatal(refused)
		}
	}
	if asked := issuer.Asked.Load(); asked != 1 {
		t.Errorf("asked %d times within a second", asked)
	}
	issuer.Away.Store(false)
	at.ahead += calm
	known := issuer.Sign(issuer.Good())
	if _, refused := a.verify(t.Context(), known); refused != nil {
		t.Errorf("it is back: %v", refused)
	}
	// Who is known stays so while it is away again, and a key that may be new is nobody's fault.
	issuer.Away.Store(true)
	at.ahead += 2 * fresh
	if _, refused := a.verify(t.Context(), known); refused != nil {
		t.Errorf("a known key: %v", refused)
	}
	issuer.Rotate("second")
	if _, refused := a.verify(t.Context(), issuer.Sign(issuer.Good())); code(refused) != statusv1.Code_CODE_UNAVAILABLE {
		t.Errorf("a key that can't be looked up: %v", refused)
	}
	issuer.Away.Store(false)
	at.ahead += calm
	if _, refused := a.verify(t.Context(), issuer.Sign(issuer.Good())); refused != nil {
		t.Errorf("the new key: %v", refused)
	}
}

// A token is verified once and remembered, and for no longer than it is good.
func TestATokenIsRememberedUntilItExpires(t *testing.T) {
	issuer := identitytest.New(t)
	at := &clock{}
	cfg := config(issuer)
	cfg.Now = at.now
	a := newAuthenticator(t, cfg, nil)
	claims := issuer.Good()
	claims["exp"] = time.Now().Add(10 * time.Second).Unix()
	token := issuer.Sign(claims)
	first, refused := a.verify(t.Context(), token)
	if refused != nil {
		t.Fatal(refused)
	}
	if again, _ := a.verify(t.Context(), token); again != first {
		t.Error("it was verified twice")
	}
	at.ahead = 10*time.Second + 2*skew
	if _, refused := a.verify(t.Context(), token); code(refused) != statusv1.Code_CODE_UNAUTHENTICATED {
		t.Errorf("expired: %v", refused)
	}
	if n := testing.AllocsPerRun(100, func() { at.ahead = 0; _, _ = a.verify(t.Context(), token) }); n > 1 {
		t.Errorf("%v allocations for a token that is known", n)
	}
}

func TestKeysFromAFile(t *testing.T) {
	issuer := identitytest.New(t)
	cfg := config(issuer)
	cfg.JWKSFile = issuer.File()
	a := newAuthenticator(t, cfg, nil)
	if who, refused := a.verify(t.Context(), issuer.Token("alice", "", "")); refused != nil || who.Organiser() {
		t.Errorf("%+v %v", who, refused)
	}
	if issuer.Asked.Load()+issuer.Fetched.Load() != 0 {
		t.Error("the network was asked")
	}
	issuer.Rotate("other")
	if _, refused := a.verify(t.Context(), issuer.Token("alice", "", "")); code(refused) != statusv1.Code_CODE_UNAUTHENTICATED {
		t.Errorf("another key: %v", refused)
	}
}
