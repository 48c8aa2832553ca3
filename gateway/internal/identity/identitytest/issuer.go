// Package identitytest is an issuer of tokens for tests.
package identitytest

import (
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Audience is what the tokens are for.
const Audience = "littlevote"

// Claims are those of a token.
type Claims map[string]any

// Issuer signs tokens. Its server stops with the test.
type Issuer struct {
	URL     string
	Fetched atomic.Int64 // how often its keys were asked for
	Asked   atomic.Int64 // how often its discovery document was
	Away    atomic.Bool  // it answers 503

	t      testing.TB
	key    atomic.Pointer[jose.JSONWebKey]
	server *httptest.Server
}

// New starts an issuer.
func New(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{t: t}
	i.Rotate("first")
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		i.Asked.Add(1)
		i.answer(w, map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		i.Fetched.Add(1)
		i.answer(w, i.set())
	})
	i.server = httptest.NewServer(mux)
	t.Cleanup(i.server.Close)
	i.URL = i.server.URL
	return i
}

func (i *Issuer) answer(w http.ResponseWriter, document any) {
	if i.Away.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(document)
}

// Rotate replaces the key.
func (i *Issuer) Rotate(id string) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		i.t.Fatal(err)
	}
	i.key.Store(&jose.JSONWebKey{Key: private, KeyID: id, Algorithm: string(jose.EdDSA), Use: "sig"})
}

func (i *Issuer) set() jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{i.key.Load().Public()}}
}

// File writes the public keys into a file.
func (i *Issuer) File() string {
	i.t.Helper()
	text, err := json.Marshal(i.set())
	if err != nil {
		i.t.Fatal(err)
	}
	file := filepath.Join(i.t.TempDir(), "keys.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		i.t.Fatal(err)
	}
	return file
}

// Good are claims that nothing is wrong with, an hour from now.
func (i *Issuer) Good() Claims {
	now := time.Now()
	return Claims{"iss": i.URL, "aud": Audience, "sub": "alice", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
}

// Token is a good token of somebody, with scopes in one text, of a tenant.
func (i *Issuer) Token(subject, tenant, scope string) string {
	i.t.Helper()
	claims := i.Good()
	claims["sub"], claims["tenant"], claims["scope"] = subject, tenant, scope
	return i.Sign(claims)
}

// Sign signs any claims with the key.
func (i *Issuer) Sign(claims Claims) string {
	i.t.Helper()
	return i.SignWith(jose.SigningKey{Algorithm: jose.EdDSA, Key: *i.key.Load()}, claims)
}

// SignWith signs any claims with any key.
func (i *Issuer) SignWith(key jose.SigningKey, claims Claims) string {
	i.t.Helper()
	signer, err := jose.NewSigner(key, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	signed, err := jwt.Signed(signer).Claims(map[string]any(claims)).Serialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return signed
}
