package system

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/littlevote/littlevote/tools/internal/scope"
)

// The tokens that the gateways of a system believe.
const (
	issuerName   = "littlevote-test"
	tokenMeantTo = "littlevote"
	tokenLasts   = 12 * time.Hour
)

// issuer signs tokens.
type issuer struct {
	file   string // a JSON Web Key Set with the public key
	signer jose.Signer
}

func newIssuer(t scope.Scope, dir string) *issuer {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{file: filepath.Join(dir, "issuer.json")}
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: public, KeyID: issuerName, Algorithm: string(jose.EdDSA), Use: "sig"},
	}})
	if err == nil {
		err = os.WriteFile(i.file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", issuerName)
	if i.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: private}, options); err != nil {
		t.Fatal(err)
	}
	return i
}

// Token is one that the gateways believe: of a voter of a tenant, empty for the default one.
func (s *System) Token(t scope.Scope, voter, tenant string, scopes ...string) string {
	t.Helper()
	now := time.Now()
	signed, err := jwt.Signed(s.tokens.signer).Claims(jwt.Claims{
		Issuer: issuerName, Audience: jwt.Audience{tokenMeantTo}, Subject: voter,
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(tokenLasts)),
	}).Claims(map[string]any{"tenant": tenant, "scope": strings.Join(scopes, " ")}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// VoterOf is under which id a voter with such a token votes.
func VoterOf(voter string) string {
	sum := sha256.Sum256([]byte(issuerName + "\x00" + voter))
	return "jwt:" + hex.EncodeToString(sum[:16])
}
