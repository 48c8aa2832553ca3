// Package request checks what every call of the blog-service carries.
package request

import (
	"strings"

	"github.com/littlevote/littlevote/services/blog-service/internal/refusal"
	"github.com/littlevote/littlevote/services/blog-service/internal/store"
)

const (
	maxTenant = 32
	// MaxBatch is how many things one call may ask for.
	MaxBatch = 1000
	// VoterPrefix makes a user's id a voter's.
	VoterPrefix = "user:"
)

// Tenant refuses what is no tenant's name; empty is the default one's.
func Tenant(name string) error {
	if len(name) > maxTenant || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return refusal.Invalid("tenant: expected up to %d of [a-z0-9-]", maxTenant)
	}
	return nil
}

// UserID reads a user's id, or the voter id that is made of it.
func UserID(text string) (int64, bool) {
	return store.ParseID(strings.TrimPrefix(text, VoterPrefix))
}

// Batch refuses a number of things that is out of bounds.
func Batch(field string, n int) error {
	if n < 1 || n > MaxBatch {
		return refusal.Invalid("%s: expected 1 to %d, got %d", field, MaxBatch, n)
	}
	return nil
}
