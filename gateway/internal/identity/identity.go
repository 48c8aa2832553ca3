package identity

import (
	"context"
	"slices"

	"github.com/littlevote/littlevote/gateway/internal/tenant"
)

// Organise is the scope that makes an organiser of the token's tenant.
const Organise = "ballots:admin"

// Identity is who calls. The zero value is somebody unknown, of the default tenant.
type Identity struct {
	Tenant tenant.Name
	Voter  string // empty: unknown; otherwise "user:" or "jwt:" and an id, at most 128 bytes
	Scopes []string
}

// Organiser reports whether the caller may do what organisers do with the ballots of their tenant.
func (i Identity) Organiser() bool { return i.Voter != "" && slices.Contains(i.Scopes, Organise) }

type contextKey struct{}

// With returns a context that holds who calls. Identities are shared, and never written to.
func With(ctx context.Context, who *Identity) context.Context {
	return context.WithValue(ctx, contextKey{}, who)
}

// From returns who calls; somebody unknown where nobody said so.
func From(ctx context.Context) Identity {
	if who, ok := ctx.Value(contextKey{}).(*Identity); ok {
		return *who
	}
	return Identity{}
}
