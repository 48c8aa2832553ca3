package identity

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// errAway says that an issuer's keys can't be had now.
var errAway = errors.New("the issuer's keys can't be had")

// issuer verifies the tokens of one issuer.
type issuer struct {
	name     string
	cfg      *oidc.Config
	keys     *fetcher
	http     *http.Client
	verifier atomic.Pointer[oidc.IDTokenVerifier]
}

func newIssuer(name string, cfg Config) (*issuer, error) {
	i := &issuer{name: name, keys: newFetcher(cfg.Now), cfg: &oidc.Config{
		ClientID: cfg.Audience, SupportedSigningAlgs: cfg.Algorithms, Now: func() time.Time { return cfg.Now().Add(-skew) },
	}}
	i.http = &http.Client{Transport: i.keys, Timeout: 2 * fetchTimeout}
	if cfg.JWKSFile == "" {
		return i, nil
	}
	keys, err := readKeys(cfg.JWKSFile)
	if err != nil {
		return nil, err
	}
	i.verifier.Store(oidc.NewVerifier(name, keys, i.cfg))
	return i, nil
}

// readKeys reads a JSON Web Key Set. Private keys have no business in it.
func readKeys(file string) (*oidc.StaticKeySet, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the operator's own
	if err != nil {
		return nil, fmt.Errorf("expected a JSON Web Key Set: %w", err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("expected a JSON Web Key Set in %s", file)
	}
	keys := make([]crypto.PublicKey, len(set.Keys))
	for i, key := range set.Keys {
		if !key.IsPublic() || !key.Valid() {
			return nil, fmt.Errorf("expected public keys only in %s; number %d is none", file, i+1)
		}
		keys[i] = key.Key
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("expected at least one key in %s", file)
	}
	return &oidc.StaticKeySet{PublicKeys: keys}, nil
}

// verify checks signature, algorithm, issuer, audience and expiry.
func (i *issuer) verify(ctx context.Context, token string) (*oidc.IDToken, error) {
	verifier, err := i.discover(ctx)
	if err != nil {
		return nil, err
	}
	var unreachable error
	id, err := verifier.Verify(context.WithValue(ctx, reasonKey{}, &unreachable), token)
	if unreachable != nil {
		return nil, unreachable
	}
	return id, err
}

// discover finds where the issuer's keys are, once; until that works, whoever needs them tries.
func (i *issuer) discover(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	if found := i.verifier.Load(); found != nil {
		return found, nil
	}
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, i.http), i.name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAway, err)
	}
	var where struct {
		JWKS string `json:"jwks_uri"`
	}
	if err := provider.Claims(&where); err != nil || where.JWKS == "" {
		return nil, fmt.Errorf("%w: its discovery document names none", errAway)
	}
	keys := oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), i.http), where.JWKS) // outlives the request
	found := oidc.NewVerifier(i.name, &remoteKeys{inner: keys, from: i.keys}, i.cfg)
	if !i.verifier.CompareAndSwap(nil, found) {
		return i.verifier.Load(), nil
	}
	return found, nil
}

// reasonKey holds in a context where to say that keys could not be had: go-oidc passes that on as a text only.
type reasonKey struct{}

// remoteKeys tells a wrong signature from keys that could not be looked at.
type remoteKeys struct {
	inner *oidc.RemoteKeySet
	from  *fetcher
}

// VerifySignature is part of oidc.KeySet.
func (k *remoteKeys) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := k.inner.VerifySignature(ctx, token)
	if err == nil {
		return payload, nil
	}
	if reason, ok := ctx.Value(reasonKey{}).(*error); ok && (k.from.failing.Load() || ctx.Err() != nil) {
		*reason = fmt.Errorf("%w: %w", errAway, err)
	}
	return nil, err
}
