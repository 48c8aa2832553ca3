package tenant

import (
	"strings"
	"testing"
)

func TestNamesComeBack(t *testing.T) {
	for _, name := range []Name{"", "acme", "a-1"} {
		for _, id := range []string{"main", "acme", "0", "-", strings.Repeat("a", 64)} {
			ballot, ok := name.Ballot(&id)
			if !ok || Of(ballot.Full()) != ballot {
				t.Errorf("%q of %q: %+v, full %q, back %+v", id, name, ballot, ballot.Full(), Of(ballot.Full()))
			}
		}
	}
	if ballot, ok := Name("acme").Ballot(nil); !ok || ballot.Full() != "acme.main" {
		t.Errorf("%+v", ballot)
	}
}

// FuzzIsolation looks for an id with which one tenant names a ballot of another.
func FuzzIsolation(f *testing.F) {
	for _, seed := range [][2]string{{"", "acme.main"}, {"acme", "main"}, {"acme", ".main"}, {"", "main."}, {"a", "b.c"}, {"A", "main"}, {"", "１"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, name, id string) {
		tenant, ok := Parse(name)
		if !ok {
			return
		}
		ballot, ok := tenant.Ballot(&id)
		if !ok {
			return
		}
		if back := Of(ballot.Full()); back.Tenant != tenant || back.ID != id || len(ballot.Full()) > 97 {
			t.Errorf("%q of %q is %q, which is %+v", id, name, ballot.Full(), back)
		}
	})
}

func TestTheDefaultTenantCostsNothing(t *testing.T) {
	ballot := Ballot{ID: "main"}
	if n := testing.AllocsPerRun(100, func() { _ = Of(ballot.Full()) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
