package gateway

import (
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/littlevote/littlevote/gateway/internal/identity"
	"github.com/littlevote/littlevote/libs/config"
)

// Auth is the group "auth": whose tokens are believed.
type Auth struct {
	Issuers    []string `key:"issuers" help:"issuers of the JWTs that voters and organisers may come with, with commas between: the https URLs of OpenID providers, whose keys are found by discovery (http only on this machine); with auth.jwks-file any one name; empty: no JWT is taken. Each of them is believed for every tenant"`
	Audience   string   `key:"audience" help:"what the claim aud of a JWT must hold"`
	Algorithms []string `key:"algorithms" help:"how JWTs may be signed, with commas between: of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 and EdDSA"`
	JWKSFile   string   `key:"jwks-file" help:"a JSON Web Key Set with the public keys of the only issuer, read at the start; empty: by discovery"`
}

func defaultAuth() Auth {
	return Auth{Audience: "littlevote", Algorithms: []string{"RS256", "ES256", "EdDSA"}}
}

// Validate checks the limits.
func (a Auth) Validate() error {
	errs := []error{config.Required("audience", a.Audience)}
	if len(a.Algorithms) == 0 {
		errs = append(errs, config.Errorf("algorithms", "expected at least one, got none"))
	}
	for _, name := range a.Algorithms {
		errs = append(errs, config.OneOf("algorithms", name,
			"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"))
	}
	if a.JWKSFile != "" && len(a.Issuers) != 1 {
		errs = append(errs, config.Errorf("issuers", "expected the one whose keys auth.jwks-file holds, got %d", len(a.Issuers)))
	}
	for _, issuer := range a.Issuers {
		if issuer == "" || a.JWKSFile == "" && !isIssuer(issuer) {
			errs = append(errs, config.Errorf("issuers", "expected https URLs, or http ones on this machine, without a query, got %q", issuer))
		}
	}
	return errors.Join(errs...)
}

func isIssuer(text string) bool {
	at, err := url.Parse(text)
	if err != nil || at.Host == "" || at.User != nil || strings.ContainsAny(text, "?#") {
		return false
	}
	ip := net.ParseIP(at.Hostname())
	here := at.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return at.Scheme == "https" || at.Scheme == "http" && here
}

// open makes what finds out who calls; sessions may be nil. Pages of the origins may act with their cookies, beside our own.
func (a Auth) open(sessions identity.Sessions, origins []string) (*identity.Authenticator, error) {
	callers, err := identity.New(identity.Config{
		Issuers: a.Issuers, Audience: a.Audience, Algorithms: a.Algorithms, JWKSFile: a.JWKSFile, Origins: origins,
		Now: time.Now,
	}, sessions)
	if err != nil { // nothing else is read at the start
		return nil, config.Errorf("auth.jwks-file", "%v", err)
	}
	return callers, nil
}
