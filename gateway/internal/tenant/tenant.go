// Package tenant keeps tenants apart. A ballot's full name, which everything behind the gateway uses, is its id for the
// default tenant and "tenant.id" for another. Neither part may hold a dot, and both come through this package, so that no
// argument of one tenant names a ballot of another.
package tenant

import (
	"strings"

	"github.com/littlevote/littlevote/libs/faultpoint"
)

// Header is where a caller without a token says which tenant is meant.
const Header = "Littlevote-Tenant"

const (
	maxName = 32 // characters
	maxID   = 64 // characters
)

// Default is the id of the ballot that is meant where none is named.
const Default = "main"

// Name is a tenant's name; empty for the default one.
type Name string

// Parse returns the tenant of this name: 1 to 32 of a-z, 0-9 and the hyphen, or empty.
func Parse(text string) (Name, bool) {
	return Name(text), text == "" || len(text) <= maxName && plain(text)
}

// Ballot names a ballot by its tenant and the id that outsiders know.
type Ballot struct {
	Tenant Name
	ID     string
}

// Ballot returns the ballot of this id, 1 to 64 of a-z, 0-9 and the hyphen, of the tenant; nil means the default id.
func (n Name) Ballot(id *string) (Ballot, bool) {
	if id == nil {
		return Ballot{Tenant: n, ID: Default}, true
	}
	if *id == "" || len(*id) > maxID || !plain(*id) {
		return Ballot{}, false
	}
	return Ballot{Tenant: n, ID: *id}, true
}

// Of returns the ballot of a full name that a service behind has sent.
func Of(full string) Ballot {
	if tenant, id, ok := strings.Cut(full, "."); ok {
		return Ballot{Tenant: Name(tenant), ID: id}
	}
	return Ballot{ID: full}
}

// Full is the ballot's full name.
func (b Ballot) Full() string {
	if b.Tenant == "" || faultpoint.Mutant("tenant-ignored") {
		return b.ID
	}
	return string(b.Tenant) + "." + b.ID
}

func plain(text string) bool {
	for i := range len(text) {
		if c := text[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
