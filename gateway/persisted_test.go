package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/testenv"
)

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// called is a request that calls a document by its hash, as Apollo's clients send it; with its text where it is not empty.
func called(hash, text string, values variables) string {
	request := map[string]any{
		"variables": values, "extensions": map[string]any{"persistedQuery": map[string]any{"version": 1, "sha256Hash": hash}},
	}
	if text != "" {
		request["query"] = text
	}
	body, _ := json.Marshal(request)
	return string(body)
}

const countOf = `query Count($n: String!) { getUserVotes(username: $n) { votes } }`

// The way of Apollo's clients: the hash alone, then once with the text, then the hash alone again.
func TestAutomaticPersistedQueries(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	post := func(body string, header ...string) (int, answerJSON) {
		status, text, _ := gateway.send(http.MethodPost, gateway.url, body, append([]string{"Content-Type", "application/json"}, header...)...)
		return status, gateway.parse(text)
	}
	hash := hashOf(countOf)
	for _, accept := range []string{legacyType, modernType} {
		status, got := post(called(hash, "", variables{"n": "A"}), "Accept", accept)
		if status != http.StatusOK || got.code(t) != "PERSISTED_QUERY_NOT_FOUND" || got.Errors[0].Message != "PersistedQueryNotFound" || got.Data != nil {
			t.Fatalf("%d %+v", status, got)
		}
	}
	for _, text := range []string{countOf, "", ""} {
		status, got := post(called(hash, text, variables{"n": "B"}))
		if status != http.StatusOK || got.field(t, "getUserVotes")["votes"] != float64('B') {
			t.Fatalf("%q: %d %+v", text, status, got)
		}
	}
	// The same by GET, as createPersistedQueryLink({useGETForHashedQueries: true}) asks.
	get := func(hash, values string) (int, string) {
		parameters := url.Values{"operationName": {"Count"}, "variables": {values}, "extensions": {`{"persistedQuery":{"version":1,"sha256Hash":"` + hash + `"}}`}}
		status, text, _ := gateway.send(http.MethodGet, gateway.url+"?"+parameters.Encode(), "")
		return status, text
	}
	if status, text := get(hash, `{"n":"C"}`); status != http.StatusOK || gateway.parse(text).field(t, "getUserVotes")["votes"] != float64('C') {
		t.Errorf("%d %s", status, text)
	}
	if status, text := get(hashOf("x"), `{}`); status != http.StatusOK || gateway.parse(text).code(t) != "PERSISTED_QUERY_NOT_FOUND" {
		t.Errorf("%d %s", status, text)
	}
	// A mutation that is called by its hash is one.
	voting := `mutation { ticketAndVote(usernames: ["A"]) { success } }`
	if status, got := post(called(hashOf(voting), voting, nil)); status != http.StatusOK || got.field(t, "ticketAndVote")["success"] != true {
		t.Fatalf("%d %+v", status, got)
	}
	voted := behind.voteCalls.Load()
	parameters := url.Values{"extensions": {`{"persistedQuery":{"version":1,"sha256Hash":"` + hashOf(voting) + `"}}`}}
	if status, text, _ := gateway.send(http.MethodGet, gateway.url+"?"+parameters.Encode(), ""); status != http.StatusMethodNotAllowed || behind.voteCalls.Load() != voted {
		t.Errorf("a vote by GET: %d %s", status, text)
	}
}

func TestPersistedQueriesThatAreNone(t *testing.T) {
	gateway := newServices(t).start(t)
	other, broken := `{ getTicket { version } }`, `{ nothing }`
	for name, test := range map[string]struct {
		body   string
		status int
		code   string
	}{
		"another text":        {called(hashOf(countOf), other, nil), 400, "PERSISTED_QUERY_HASH_MISMATCH"},
		"upper-case hash":     {called(strings.ToUpper(hashOf(other)), other, nil), 400, "PERSISTED_QUERY_HASH_MISMATCH"},
		"hash of white space": {called(hashOf(other+" "), other, nil), 400, "PERSISTED_QUERY_HASH_MISMATCH"},
		"no version":          {`{"extensions":{"persistedQuery":{"sha256Hash":"x"}}}`, 400, "BAD_REQUEST"},
		"version 2":           {`{"extensions":{"persistedQuery":{"version":2,"sha256Hash":"x"}}}`, 400, "BAD_REQUEST"},
		"version in words":    {`{"extensions":{"persistedQuery":{"version":"1","sha256Hash":"x"}}}`, 400, "BAD_REQUEST"},
		"no hash":             {`{"extensions":{"persistedQuery":{"version":1}}}`, 400, "BAD_REQUEST"},
		"a number":            {`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":1}}}`, 400, "BAD_REQUEST"},
		"a long one":          {called(strings.Repeat("a", 257), "", nil), 400, "BAD_REQUEST"},
		"a list":              {`{"query":"{__typename}","extensions":{"persistedQuery":[]}}`, 400, "BAD_REQUEST"},
		"null and no query":   {`{"extensions":{"persistedQuery":null}}`, 400, "BAD_REQUEST"},
		"an invalid text":     {called(hashOf(broken), broken, nil), 200, "GRAPHQL_VALIDATION_FAILED"},
		"its hash afterwards": {called(hashOf(broken), "", nil), 200, "PERSISTED_QUERY_NOT_FOUND"},
	} {
		if strings.Contains(name, "afterwards") {
			gateway.send(http.MethodPost, gateway.url, called(hashOf(broken), broken, nil), "Content-Type", "application/json")
		}
		status, text, _ := gateway.send(http.MethodPost, gateway.url, test.body, "Content-Type", "application/json")
		if got := gateway.parse(text); status != test.status || got.code(t) != test.code || got.Errors[0].Extensions["outcome"] != "NONE" {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	if got := gateway.ask(countOf, variables{"n": "A"}); got.Errors != nil {
		t.Errorf("%+v", got)
	}
}

func TestPersistedQueriesAreBoundedAndMayBeOff(t *testing.T) {
	behind := newServices(t)
	cfg := behind.config(t)
	cfg.Gateway.PersistedQueries = 40_000
	gateway := start(t, cfg)
	text := func(i int) string { return fmt.Sprintf(`{ a%d: getUserVotes(username: "A") { votes } }`, i) }
	for i := range 100 {
		gateway.send(http.MethodPost, gateway.url, called(hashOf(text(i)), text(i), nil), "Content-Type", "application/json")
	}
	known := 0
	for i := range 100 {
		_, answer, _ := gateway.send(http.MethodPost, gateway.url, called(hashOf(text(i)), "", nil), "Content-Type", "application/json")
		if !strings.Contains(answer, "NOT_FOUND") {
			known++
		}
	}
	if known < 5 || known > 20 { // each takes about 3 KB
		t.Errorf("%d are known", known)
	}
	cfg.Gateway.PersistedQueries = 0
	gateway = start(t, cfg)
	status, answer, _ := gateway.send(http.MethodPost, gateway.url, called(hashOf(countOf), "", nil), "Content-Type", "application/json")
	if status != http.StatusOK || gateway.parse(answer).code(t) != "PERSISTED_QUERY_NOT_SUPPORTED" {
		t.Errorf("%d %s", status, answer)
	}
}

// manifest writes a list as Apollo's generate-persisted-query-manifest does.
func manifest(t *testing.T, file string, texts ...string) {
	t.Helper()
	list := map[string]any{"format": "apollo-persisted-query-manifest", "version": 1}
	operations := []any{}
	for i, text := range texts {
		operations = append(operations, map[string]any{"id": hashOf(text), "name": fmt.Sprint("Op", i), "type": "query", "body": text})
	}
	list["operations"] = operations
	written, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".new", written, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func TestAListOfAllowedOperations(t *testing.T) {
	behind := newServices(t)
	cfg := behind.config(t)
	file := filepath.Join(t.TempDir(), "manifest.json")
	const voting = `mutation Vote($u: [String!]!) { ticketAndVote(usernames: $u) { success } }`
	manifest(t, file, countOf, voting)
	cfg.Gateway.AllowList = file
	gateway := start(t, cfg)
	post := func(body string) answerJSON {
		_, text, _ := gateway.send(http.MethodPost, gateway.url, body, "Content-Type", "application/json")
		return gateway.parse(text)
	}
	plain := func(text string, values variables) string {
		body, _ := json.Marshal(map[string]any{"query": text, "variables": values})
		return string(body)
	}
	for name, body := range map[string]string{
		"by id": called(hashOf(countOf), "", variables{"n": "A"}), "by text": plain(countOf, variables{"n": "A"}),
		"by both": called(hashOf(countOf), countOf, variables{"n": "A"}), "by text and a wrong hash": called(hashOf("x"), countOf, variables{"n": "A"}),
		"another": called(hashOf(voting), "", variables{"u": []string{"A"}}),
	} {
		if got := post(body); got.Errors != nil || got.Data == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	const other = `{ getTicket { version } }`
	calls := behind.ticketCalls.Load()
	for name, test := range map[string]struct{ body, code string }{
		"another text":         {plain(other, nil), "QUERY_NOT_IN_SAFELIST"},
		"nearly the same":      {plain(countOf+" ", variables{"n": "A"}), "QUERY_NOT_IN_SAFELIST"},
		"another id":           {called(hashOf(other), "", nil), "PERSISTED_QUERY_NOT_IN_LIST"},
		"registered":           {called(hashOf(other), other, nil), "QUERY_NOT_IN_SAFELIST"},
		"another under its id": {called(hashOf(countOf), other, nil), "QUERY_NOT_IN_SAFELIST"},
		"introspection":        {plain(`{ __schema { queryType { name } } }`, nil), "QUERY_NOT_IN_SAFELIST"},
		"not even GraphQL":     {plain(`{`, nil), "QUERY_NOT_IN_SAFELIST"},
	} {
		if got := post(test.body); got.code(t) != test.code || got.Data != nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if behind.ticketCalls.Load() != calls {
		t.Error("it was executed")
	}
	status, text, _ := gateway.send(http.MethodPost, gateway.url, plain(other, nil), "Content-Type", "application/json", "Accept", modernType)
	if status != http.StatusBadRequest {
		t.Errorf("%d %s", status, text)
	}
	// The dialects have a door of their own.
	status, text, _ = gateway.send(http.MethodPost, "http://"+gateway.Addr()+"/cast/graphql", `{"query":"{__typename}"}`, "Content-Type", "application/json")
	if status != http.StatusOK || strings.Contains(text, "errors") {
		t.Errorf("%d %s", status, text)
	}
	// A new list counts without a restart; one that can't be used does not.
	manifest(t, file, other)
	testenv.Eventually(t, 20*time.Second, func() error {
		if got := post(plain(other, nil)); got.Errors != nil {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	if got := post(called(hashOf(countOf), "", variables{"n": "A"})); got.code(t) != "PERSISTED_QUERY_NOT_IN_LIST" {
		t.Errorf("what was taken off the list: %+v", got)
	}
	manifest(t, file, `{ nothing }`)
	testenv.Eventually(t, 20*time.Second, func() error {
		if gateway.entrance.allowed.Problem() == "" {
			return fmt.Errorf("nobody says that the list is not in force")
		}
		return nil
	})
	if got := post(plain(other, nil)); got.Errors != nil {
		t.Errorf("a broken list put the one before out of force: %+v", got)
	}
}

func TestListsThatAreNone(t *testing.T) {
	cfg := newServices(t).config(t)
	file := filepath.Join(t.TempDir(), "manifest.json")
	cfg.Gateway.AllowList = file
	for _, text := range []string{
		"", "{}", "[]", `{"format":"apollo-persisted-query-manifest","version":2,"operations":[]}`, `{"format":"x","version":1}`,
		`{"format":"apollo-persisted-query-manifest","version":1,"operations":[{"id":"","body":"{__typename}"}]}`,
		`{"format":"apollo-persisted-query-manifest","version":1,"operations":[{"id":"a","body":"{__typename}"},{"id":"a","body":"{__typename}"}]}`,
		`{"format":"apollo-persisted-query-manifest","version":1,"operations":[{"id":"a","body":"{nothing}"}]}`,
		`{"format":"apollo-persisted-query-manifest","version":1,"operations":[{"id":"a","body":"{` + strings.Repeat("a:__typename ", 51) + `}"}]}`,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(t.Context(), cfg, testHost(t)); err == nil || !strings.Contains(err.Error(), "gateway.allow-list") {
			t.Errorf("%.80s: %v", text, err)
		}
	}
	cfg.Gateway.AllowList = file + ".missing"
	if _, err := New(t.Context(), cfg, testHost(t)); err == nil || !strings.Contains(err.Error(), "gateway.allow-list") {
		t.Error(err)
	}
}
