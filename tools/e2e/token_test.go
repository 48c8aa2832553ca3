package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/littlevote/littlevote/tools/e2e/internal/fixture"
)

// tokens shows that a running up believes `littlevote token`, and makes an organiser of whom it says so, of one tenant.
func tokens(t *testing.T, dir string, up *fixture.Up) {
	token := func(args ...string) string {
		return strings.TrimSpace(command(t, 0, append([]string{"token", "--data-dir", dir}, args...)...))
	}
	olga := token("--voter", "olga", "--scope", "ballots:admin", "--tenant", "acme")
	for _, step := range []struct{ token, query, want string }{
		{olga, `{ me { tenant scopes } }`, `{"data":{"me":{"tenant":"acme","scopes":["ballots:admin"]}}}`},
		{olga, `mutation { createBallot(input: {id: "song", state: DRAFT, candidates: ["a"]}) { id state } }`, `{"data":{"createBallot":{"id":"song","state":"DRAFT"}}}`},
		{olga, `{ ballots { entries { id } } }`, `{"data":{"ballots":{"entries":[{"id":"song"}]}}}`},
		{token("--voter", "olga", "--scope", "ballots:admin"), `{ ballot(id: "song") { id } }`, `"code":"BALLOT_NOT_FOUND"`},
		{token("--voter", "eve", "--tenant", "acme"), `{ auditLog { next } }`, `"code":"PERMISSION_DENIED"`},
		{"", `{ auditLog { next } }`, `"code":"UNAUTHENTICATED"`},
		{olga + "x", `{ me { tenant } }`, `"code":"UNAUTHENTICATED"`},
	} {
		if got := ask(t, up.Gateway.URL, step.token, step.query); !strings.Contains(got, step.want) {
			t.Errorf("%s: %s, want %s", step.query, got, step.want)
		}
	}
}

// ask sends a document with a token, and returns the answer.
func ask(t *testing.T, url, token, query string) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
