package e2e

import (
	"errors"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/tools/e2e/internal/fixture"
	"github.com/littlevote/littlevote/tools/internal/voter"
)

// tinyClients is what the text of Tiny Vote says that its clients see.
func tinyClients(t *testing.T, client *voter.Client, up *fixture.Up) {
	ask := func(document string, variables map[string]any) (data struct {
		Vote, Cas string
		Query     int
	}) {
		t.Helper()
		if err := client.Do(t.Context(), document, variables, &data); err != nil {
			t.Fatal(err)
		}
		return data
	}
	const vote = `mutation($usernames: [String!]!, $ticket: String!) { vote(usernames: $usernames, ticket: $ticket) }`
	var ticket string
	testenv.Eventually(t, 20*time.Second, func() error { // S52: of the ticket of now, if that does not change in between
		ticket = ask("{ cas }", nil).Cas
		if got := ask(vote, map[string]any{"usernames": []string{"alice", "bob", "alice"}, "ticket": ticket}).Vote; got != "成功" {
			return errors.New(got)
		}
		return nil
	})
	for name, want := range map[string]int{"alice": 2, "bob": 1, "nobody": 0} {
		if got := ask("query($name: String!) { query(username: $name) }", map[string]any{"name": name}).Query; got != want {
			t.Errorf("S53: %s has %d votes, want %d", name, got, want)
		}
	}
	if got := ask(vote, map[string]any{"usernames": []string{"alice"}, "ticket": ""}).Vote; got != "ticket 失效" {
		t.Errorf("S75: an empty ticket: %s", got)
	}
	testenv.Eventually(t, 20*time.Second, func() error {
		if ask("{ cas }", nil).Cas == ticket {
			return errors.New("the ticket is the same")
		}
		return nil
	})
	if got := ask(vote, map[string]any{"usernames": []string{"alice"}, "ticket": ticket}).Vote; got != "ticket 失效" {
		t.Errorf("S52: the ticket of before: %s", got)
	}
	testenv.Eventually(t, 10*time.Second, func() error { // S56, and S55: minted by whom the ring elects, and logged
		shown, err := graphqlTicket(t, up)
		if err != nil {
			return err
		}
		if now := ask("{ cas }", nil).Cas; now != shown {
			return fmt.Errorf("graphql_ticket holds %q, the ticket is %q", shown, now)
		}
		return nil
	})
	if !regexp.MustCompile(`create ticket success, \d\d:\d\d:\d\d\.\d{3}`).MatchString(up.Stderr()) {
		t.Error("S55: no ticket was logged")
	}
}

// graphqlTicket reads what stands where Tiny Vote had its ticket.
func graphqlTicket(t *testing.T, up *fixture.Up) (string, error) {
	t.Helper()
	epoch, err := pgledger.CurrentEpoch(t.Context(), up.Pool)
	if err != nil {
		return "", err
	}
	rdb, err := redisledger.Open(up.Addresses["redis"], 1, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer rdb.Close()
	key := "{tiny}:" + epoch.NS + ":graphql_ticket"
	life, err := rdb.PTTL(t.Context(), key).Result()
	if err == nil && life > 2*time.Second {
		t.Errorf("S56: %s lives for %v", key, life)
	}
	if err != nil {
		return "", err
	}
	return rdb.Get(t.Context(), key).Result()
}
