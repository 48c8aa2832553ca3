package identity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/tenant"
)

const (
	// skew is how far the clocks of an issuer and of this machine may differ.
	skew = 30 * time.Second
	// remembered is how many tokens that were verified are kept, and rememberedFor how long at most: a signature costs as much
	// as a vote, and voters come again.
	remembered    = 20_000
	rememberedFor = time.Minute
	maxSubject    = 255 // bytes, as OpenID has it
)

// Config says whose tokens are believed. Without issuers, nobody's.
type Config struct {
	Issuers    []string // URLs; any one name with a file
	Audience   string
	Algorithms []string
	JWKSFile   string   // the only issuer's public keys; empty: by discovery
	Origins    []string // whose pages may act with a session's cookie, beside our own
	Now        func() time.Time
}

// tokens verifies JWTs.
type tokens struct {
	issuers    map[string]*issuer
	algorithms []jose.SignatureAlgorithm
	seen       *lru.Cache[[sha256.Size]byte, verified]
	now        func() time.Time
}

// verified is whose token it is, until it must be verified again.
type verified struct {
	who   *Identity
	until time.Time
}

func newTokens(cfg Config) (*tokens, error) {
	seen, err := lru.New[[sha256.Size]byte, verified](remembered)
	if err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	t := &tokens{issuers: make(map[string]*issuer, len(cfg.Issuers)), seen: seen, now: cfg.Now}
	for _, algorithm := range cfg.Algorithms {
		t.algorithms = append(t.algorithms, jose.SignatureAlgorithm(algorithm))
	}
	for _, name := range cfg.Issuers {
		if t.issuers[name], err = newIssuer(name, cfg); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *tokens) verify(ctx context.Context, token string) (*Identity, *answer.Refusal) {
	sum := sha256.Sum256([]byte(token))
	if known, ok := t.seen.Get(sum); ok && t.now().Before(known.until) {
		return known.who, nil
	}
	from, err := t.issuerOf(token)
	if err != nil {
		return nil, wrong(err)
	}
	id, err := from.verify(ctx, token)
	if errors.Is(err, errAway) {
		return nil, away(err)
	}
	if err != nil {
		return nil, wrong(err)
	}
	who, err := t.read(id)
	if err != nil {
		return nil, wrong(err)
	}
	t.seen.Add(sum, verified{who: who, until: earlier(id.Expiry, t.now().Add(rememberedFor))})
	return who, nil
}

// issuerOf says who claims to have signed a token.
func (t *tokens) issuerOf(token string) (*issuer, error) {
	parsed, err := jwt.ParseSigned(token, t.algorithms)
	if err != nil {
		return nil, fmt.Errorf("no JWT signed by an algorithm on the list: %w", err)
	}
	var claimed struct {
		Issuer string `json:"iss"`
	}
	if err := parsed.UnsafeClaimsWithoutVerification(&claimed); err != nil {
		return nil, errors.New("the token's claims can't be read")
	}
	if from, known := t.issuers[claimed.Issuer]; known {
		return from, nil
	}
	return nil, errors.New("the token is of an issuer that is not trusted")
}

// claims are those of ours, beside the standard ones.
type claims struct {
	Tenant    string           `json:"tenant"`
	Scope     scopes           `json:"scope"`
	NotBefore *jwt.NumericDate `json:"nbf"`
	IssuedAt  *jwt.NumericDate `json:"iat"`
}

// scopes are words in one text, as OAuth has them, or a list.
type scopes []string

// UnmarshalJSON is part of json.Unmarshaler.
func (s *scopes) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err == nil {
		*s = strings.Fields(text)
		return nil
	}
	return json.Unmarshal(data, (*[]string)(s))
}

// read returns whose token it is: its signature, issuer, audience and expiry are right.
func (t *tokens) read(id *oidc.IDToken) (*Identity, error) {
	var said claims
	if err := id.Claims(&said); err != nil {
		return nil, errors.New("the token's claims have other types than expected")
	}
	latest := t.now().Add(skew)
	if said.NotBefore != nil && said.NotBefore.Time().After(latest) || said.IssuedAt != nil && said.IssuedAt.Time().After(latest) {
		return nil, errors.New("the token is not valid yet")
	}
	if id.Subject == "" || len(id.Subject) > maxSubject {
		return nil, errors.New("the token has no subject of 1 to 255 bytes")
	}
	of, ok := tenant.Parse(said.Tenant)
	if !ok {
		return nil, errors.New("the token's tenant is no name of ours")
	}
	return &Identity{Tenant: of, Voter: VoterID(id.Issuer, id.Subject), Scopes: said.Scope}, nil
}

// VoterID makes an id that tells nobody who it is, and that whoever knows issuer and subject can make again.
func VoterID(issuer, subject string) string {
	const length = 16 // bytes
	sum := sha256.Sum256([]byte(issuer + "\x00" + subject))
	return "jwt:" + hex.EncodeToString(sum[:length])
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
