package token

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/spf13/cobra"

	"github.com/littlevote/littlevote/libs/config"
)

// longest is how long a token may be good for.
const longest = 30 * 24 * time.Hour

// request is what a token should say.
type request struct {
	dataDir string
	voter   string
	tenant  string
	scopes  []string
	valid   time.Duration
}

// Command is `littlevote token`.
func Command() *cobra.Command {
	var r request
	cmd := &cobra.Command{
		Use:   "token --voter NAME",
		Short: "Print a token for a voter or an organiser, for a system that `up` runs",
		Long: `Prints a signed token (a JWT) that the gateway of a running "up" believes: it makes the key in its data directory at its first
start. Send it as "Authorization: Bearer …". For trying things out; a real system has an OpenID issuer (auth.issuers).

  littlevote token --voter alice                                        a voter, where a ballot limits votes per voter
  littlevote token --voter olga --scope ballots:admin                   an organiser: makes, closes and certifies ballots
  littlevote token --voter olga --scope ballots:admin --tenant acme     the same for a tenant of its own

  littlevote vote A --token "$(littlevote token --voter alice)"
  curl http://127.0.0.1:8080/graphql -H "Authorization: Bearer $(littlevote token --voter alice)" \
    -H 'Content-Type: application/json' -d '{"query":"{me{voter tenant scopes}}"}'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			signed, err := r.sign(time.Now())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), signed)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&r.dataDir, "data-dir", ".littlevote", "data directory of the `up` that shall believe it")
	flags.StringVar(&r.voter, "voter", "", "who it is: any name, 1 to 255 bytes; the same name is the same voter")
	flags.StringVar(&r.tenant, "tenant", "", "whose ballots they see, 1 to 32 of a-z, 0-9 and the hyphen; empty: the default tenant")
	flags.StringSliceVar(&r.scopes, "scope", nil, "what they may do, with commas between: ballots:admin for organisers")
	flags.DurationVar(&r.valid, "valid-for", 12*time.Hour, "how long it is good, 1s to 720h")
	return cmd
}

func (r request) sign(now time.Time) (string, error) {
	if err := r.check(); err != nil {
		return "", err
	}
	key, err := open(r.dataDir)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	claims := jwt.Claims{
		Issuer: Issuer, Audience: jwt.Audience{Audience}, Subject: r.voter,
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(r.valid)),
	}
	return jwt.Signed(signer).Claims(claims).Claims(map[string]any{
		"tenant": r.tenant, "scope": strings.Join(r.scopes, " "),
	}).Serialize()
}

func (r request) check() error {
	const maxVoter, maxTenant = 255, 32
	var errs []error
	if r.voter == "" || len(r.voter) > maxVoter {
		errs = append(errs, config.Errorf("voter", "expected 1 to 255 bytes, got %q", r.voter))
	}
	odd := func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' }
	if len(r.tenant) > maxTenant || strings.ContainsFunc(r.tenant, odd) {
		errs = append(errs, config.Errorf("tenant", "expected at most 32 of a-z, 0-9 and the hyphen, got %q", r.tenant))
	}
	errs = append(errs, config.Between("valid-for", r.valid, time.Second, longest))
	if at, err := os.Stat(r.dataDir); err != nil || !at.IsDir() {
		errs = append(errs, config.Errorf("data-dir", "expected the data directory of an `up`, got %q", r.dataDir))
	}
	return errors.Join(errs...)
}
