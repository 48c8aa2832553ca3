package pgledger_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/littlevote/littlevote/libs/pgledger"
)

func TestEveryChangeIsInTheAudit(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	limit := int64(7)
	want := pgledger.Ballot{
		Name: "acme.final", State: "draft", Visibility: "never", TicketCap: &limit, TicketInterval: time.Second, VotesPerVoter: 2,
	}
	create, update := pgledger.Deed{Actor: "a", Action: pgledger.ActionCreate}, pgledger.Deed{Actor: "b", Action: pgledger.ActionUpdate}
	for _, first := range []bool{true, false} {
		if made, err := pgledger.MakeBallot(t.Context(), pool, &want, false, create); err != nil || made != first {
			t.Fatalf("made %v, %v", made, err)
		}
	}
	rename := func(_ pgx.Tx, b *pgledger.Ballot, now time.Time) error {
		if age := time.Since(now); age < -time.Minute || age > time.Minute {
			t.Errorf("it is %v", now)
		}
		b.Title, b.State = "Final", "open"
		return nil
	}
	for range 2 { // the second one changes nothing
		b, epoch, err := pgledger.ChangeBallot(t.Context(), pool, "acme.final", update, rename)
		if err != nil || b.Title != "Final" || b.RulesVersion != 2 || epoch.Number != 1 {
			t.Fatalf("%+v in %+v, %v", b, epoch, err)
		}
	}
	refused := errors.New("no")
	_, _, err := pgledger.ChangeBallot(t.Context(), pool, "acme.final", update, func(_ pgx.Tx, b *pgledger.Ballot, _ time.Time) error {
		b.Title = "other"
		return refused
	})
	if !errors.Is(err, refused) {
		t.Error(err)
	}
	entries, err := pgledger.ListAudit(t.Context(), pool, "acme", "", 0, 10)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for i, want := range []string{
		`{"title": {"from": null, "to": "Final"}, "state": {"from": "draft", "to": "open"}}`,
		`{"state": "draft", "visibility": "never", "ticket_interval": "1s", "ticket_cap": 7, "votes_per_voter": 2}`,
	} {
		var got, wanted any
		if err := errors.Join(json.Unmarshal(entries[i].Details, &got), json.Unmarshal([]byte(want), &wanted)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("%s of %s: %s", entries[i].Action, entries[i].Ballot, diff)
		}
	}
	if entries[0].Deed != update || entries[1].Deed != create || entries[0].ID <= entries[1].ID {
		t.Errorf("%+v", entries)
	}
}

// Tenants never see each other: neither in lists of ballots, nor in the audit.
func TestTenantsListTheirOwn(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	for _, name := range []string{"acme.b", "acme.a", "acme.c", "acme-2.a", "ac.a", "b"} {
		b := pgledger.Ballot{Name: name, State: "open", Visibility: "always"}
		if _, err := pgledger.MakeBallot(t.Context(), pool, &b, true, pgledger.Deed{Actor: "x", Action: pgledger.ActionCreate}); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		tenant, after string
		limit         int
		want          []string
	}{
		{"acme", "", 10, []string{"acme.a", "acme.b", "acme.c"}}, {"acme", "acme.a", 1, []string{"acme.b"}}, {"ac", "", 10, []string{"ac.a"}},
		{"", "", 10, []string{"b", "cast", "main", "tiny"}}, {"", "cast", 10, []string{"main", "tiny"}}, {"a", "", 10, nil},
	} {
		list, err := pgledger.TenantBallots(t.Context(), pool, step.tenant, step.after, step.limit)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, b := range list {
			names = append(names, b.Name)
		}
		if diff := cmp.Diff(step.want, names); diff != "" {
			t.Errorf("%+v: %s", step, diff)
		}
	}
	for tenant, want := range map[string]int{"acme": 3, "acme-2": 1, "ac": 1, "": 1, "none": 0} {
		if entries, err := pgledger.ListAudit(t.Context(), pool, tenant, "", 0, 10); err != nil || len(entries) != want {
			t.Errorf("tenant %q: %d entries, %v", tenant, len(entries), err)
		}
	}
	all, err := pgledger.ListAudit(t.Context(), pool, "acme", "", 0, 2)
	if err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	rest, err := pgledger.ListAudit(t.Context(), pool, "acme", "", all[1].ID, 2)
	if err != nil || len(rest) != 1 || rest[0].Ballot != "acme.b" {
		t.Errorf("%v, %v", rest, err)
	}
	if others, err := pgledger.ListAudit(t.Context(), pool, "acme", "ac.a", 0, 2); err != nil || len(others) != 0 {
		t.Errorf("%v, %v", others, err)
	}
}

func TestBallotsOfATenantAreBounded(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	run(t, pool, "INSERT INTO ballots (ballot, ticket_interval_ms) SELECT 'acme.' || i, 1000 FROM generate_series(1, $1) i", pgledger.MaxBallots)
	for tenant, want := range map[string]error{"acme": pgledger.ErrManyBallots, "beta": nil} {
		b := pgledger.Ballot{Name: tenant + ".more", State: "open", Visibility: "always"}
		made, err := pgledger.MakeBallot(t.Context(), pool, &b, true, pgledger.Deed{Actor: "x", Action: pgledger.ActionCreate})
		if !errors.Is(err, want) || made != (want == nil) {
			t.Errorf("%s: %v, %v", tenant, made, err)
		}
	}
	if n := count(t, pool, "audit"); n != 1 {
		t.Errorf("%d entries", n)
	}
}

func TestACertifiedBallotIsNeverChanged(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	closeMain(t, pool)
	if _, err := certify(t, pool, 1, "main"); err != nil {
		t.Fatal(err)
	}
	deed := pgledger.Deed{Actor: "x", Action: pgledger.ActionUpdate}
	_, _, err := pgledger.ChangeBallot(t.Context(), pool, "main", deed, func(_ pgx.Tx, b *pgledger.Ballot, _ time.Time) error {
		b.State = "open"
		return nil
	})
	if err == nil {
		t.Error("it was")
	}
	if b, err := pgledger.BallotNamed(t.Context(), pool, "main"); err != nil || b.State != "certified" {
		t.Errorf("%+v, %v", b, err)
	}
	if n := query[int](t, pool, "SELECT count(*) FROM audit WHERE action = 'update'"); n != 0 {
		t.Error("what had no effect is in the audit")
	}
}
