package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// blockVote tells when a vote is there, and holds it.
func blockVote(entered chan<- struct{}, release <-chan struct{}) func(context.Context, *votev1.Vote) *votev1.Verdict {
	return func(_ context.Context, vote *votev1.Vote) *votev1.Verdict {
		entered <- struct{}{}
		<-release
		return counted(vote)
	}
}

// bombs are documents that cost much more than their length.
func bombs() map[string]struct{ query, code string } {
	fragments := func(n int, body func(i int) string) string {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, " fragment F%d on Query { %s }", i, body(i))
		}
		return text.String()
	}
	repeat := func(n int, of func(i int) string) string {
		var text strings.Builder
		for i := range n {
			text.WriteString(of(i))
		}
		return text.String()
	}
	same := func(text string) func(int) string { return func(int) string { return text } }
	return map[string]struct{ query, code string }{
		"doublings": {
			"{ ...F0 }" + fragments(30, func(i int) string {
				if i == 29 {
					return `getUserVotes(username: "A") { votes }`
				}
				return fmt.Sprintf("...F%d ...F%d", i+1, i+1)
			}), "LIMIT_EXCEEDED",
		},
		"aliased doublings": {
			"{ ...F0 }" + fragments(40, func(i int) string {
				if i == 39 {
					return "__typename"
				}
				return fmt.Sprintf("...F%d x%d: __typename ...F%d", i+1, i, i+1)
			}), "LIMIT_EXCEEDED",
		},
		"cycle":      {"{ ...F0 }" + fragments(2, func(i int) string { return fmt.Sprintf("...F%d", 1-i) }), "GRAPHQL_VALIDATION_FAILED"},
		"self cycle": {"{ ...F0 }" + fragments(1, same("...F0")), "GRAPHQL_VALIDATION_FAILED"},
		"deep cycle": {"{ __schema { types { ...A } } } fragment A on __Type { fields { type { ...A } } }", "GRAPHQL_VALIDATION_FAILED"},
		"depth":      {"{" + strings.Repeat("a{", 100) + "a" + strings.Repeat("}", 101), "LIMIT_EXCEEDED"},
		"nesting":    {strings.Repeat("{a", 30000), "GRAPHQL_PARSE_FAILED"},
		"lists":      {`{ getUserVotes(username: ` + strings.Repeat("[", 30000), "GRAPHQL_PARSE_FAILED"},
		"7k aliases": {"{" + repeat(7000, func(i int) string { return fmt.Sprintf("a%d:b ", i) }) + "}", "GRAPHQL_PARSE_FAILED"},
		"51 aliases": {"{" + repeat(51, func(i int) string { return fmt.Sprintf("a%d:__typename ", i) }) + "}", "LIMIT_EXCEEDED"},
		"11 mutations": {
			"mutation {" + repeat(11, func(i int) string { return fmt.Sprintf(`a%d:ticketAndVote(usernames:"A"){code} `, i) }) + "}", "LIMIT_EXCEEDED",
		},
		"mutations in fragments": {
			"mutation {" + repeat(11, func(i int) string { return fmt.Sprintf("...M%d ", i) }) + "}" + repeat(11, func(i int) string {
				return fmt.Sprintf(` fragment M%d on Mutation { a%d:ticketAndVote(usernames:"A"){code} }`, i, i)
			}), "LIMIT_EXCEEDED",
		},
		"one field often": {"{" + strings.Repeat("__typename ", 5000) + "}", "GRAPHQL_PARSE_FAILED"},
		"100k tokens":     {"{" + strings.Repeat("a ", 32000) + "}", "GRAPHQL_PARSE_FAILED"},
		"commas":          {"{ __typename " + strings.Repeat(",", 60000), "GRAPHQL_PARSE_FAILED"},
		"comments":        {strings.Repeat("#\n", 20000) + "{", "GRAPHQL_PARSE_FAILED"},
		"whole tables often": {"{" + repeat(8, func(i int) string {
			return fmt.Sprintf("a%d:getAllUserVotes{username votes votesExact updatedAt asOf} ", i)
		}) + "}", "LIMIT_EXCEEDED"},
		"overlapping": {
			"{" + repeat(105, same(`getUserVotes(username:"A"){votes} `)) + "}", "",
		},
		"directives":    {"{ __typename " + strings.Repeat("@include(if:true)", 140) + "}", "GRAPHQL_VALIDATION_FAILED"},
		"introspection": {"{" + strings.Repeat("__schema{types{fields{type{fields{type{fields{type{name}}}}}}}}", 1) + "}", "GRAPHQL_VALIDATION_FAILED"},
		"schema, aliased": {"{" + repeat(40, func(i int) string {
			return fmt.Sprintf("a%d:__schema{types{fields{name description args{name description type{name}}}}}", i)
		}) + "}", "LIMIT_EXCEEDED"},
		"long name":      {"{ " + strings.Repeat("a", 60000) + " }", "GRAPHQL_VALIDATION_FAILED"},
		"many errors":    {"{" + repeat(480, func(i int) string { return fmt.Sprintf("n%d ", i) }) + "}", "GRAPHQL_VALIDATION_FAILED"},
		"many variables": {"query(" + repeat(150, func(i int) string { return fmt.Sprintf("$v%d:Int ", i) }) + "){__typename}", "GRAPHQL_VALIDATION_FAILED"},
	}
}

func TestBombsAreRefusedInBoundedTimeAndSpace(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	for name, bomb := range bombs() {
		started := time.Now()
		answer := gateway.ask(bomb.query, nil)
		if took := time.Since(started); took > 2*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		code := ""
		if len(answer.Errors) > 0 {
			code, _ = answer.Errors[0].Extensions["code"].(string)
		}
		if code != bomb.code {
			t.Errorf("%s: got %q, want %q: %v", name, code, bomb.code, answer.Errors)
		}
		for _, err := range answer.Errors {
			if len(err.Message) > 600 {
				t.Errorf("%s: a message of %d bytes", name, len(err.Message))
			}
		}
		if len(answer.Errors) > 10 {
			t.Errorf("%s: %d errors", name, len(answer.Errors))
		}
	}
	if calls := behind.voteCalls.Load(); calls != 0 {
		t.Errorf("a bomb voted %d times", calls)
	}
}

func TestLimitsAreSettings(t *testing.T) {
	behind := newServices(t)
	for name, test := range map[string]struct {
		set   func(*Settings)
		query string
		code  string
	}{
		"tokens":     {func(s *Settings) { s.MaxTokens = 10 }, "{ a: __typename b: __typename c: __typename }", "GRAPHQL_PARSE_FAILED"},
		"depth":      {func(s *Settings) { s.MaxDepth = 1 }, `{ getTicket { value } }`, "LIMIT_EXCEEDED"},
		"aliases":    {func(s *Settings) { s.MaxAliases = 0 }, `{ a: __typename }`, "LIMIT_EXCEEDED"},
		"mutations":  {func(s *Settings) { s.MaxMutations = 1 }, `mutation { a: ticketAndVote(usernames: "A") { code } ticketAndVote(usernames: "A") { code } }`, "LIMIT_EXCEEDED"},
		"complexity": {func(s *Settings) { s.MaxComplexity = 10 }, `{ getTicket { value } }`, "LIMIT_EXCEEDED"},
	} {
		cfg := behind.config(t)
		if answer := start(t, cfg).ask(test.query, nil); answer.Errors != nil {
			t.Errorf("%s: by default %+v", name, answer)
		}
		test.set(&cfg.Gateway)
		if got := start(t, cfg).ask(test.query, nil).code(t); got != test.code {
			t.Errorf("%s: %s", name, got)
		}
	}
	cfg := behind.config(t)
	cfg.Gateway.MaxBody = 1 << 10
	gateway := start(t, cfg)
	if status, _, _ := gateway.send(http.MethodPost, gateway.url, typename+strings.Repeat(" ", 1<<10), "Content-Type", legacyType); status != 413 {
		t.Errorf("body: %d", status)
	}
}

func TestAMegabyteIsRefusedUnread(t *testing.T) {
	gateway := newServices(t).start(t)
	body := `{"query":"{ __typename ` + strings.Repeat(" ", 1<<20) + `}"}`
	if status, text, _ := gateway.send(http.MethodPost, gateway.url, body, "Content-Type", legacyType); status != 413 || len(text) > 200 {
		t.Errorf("%d, %d bytes", status, len(text))
	}
}

// Tools ask this; it must pass the default limits.
const toolsIntrospection = `query IntrospectionQuery { __schema { description queryType { name kind } mutationType { name kind } subscriptionType { name kind }
	types { ...FullType } directives { name description isRepeatable locations args(includeDeprecated: true) { ...InputValue } } } }
	fragment FullType on __Type { kind name description specifiedByURL
		fields(includeDeprecated: true) { name description args(includeDeprecated: true) { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason }
		inputFields(includeDeprecated: true) { ...InputValue } interfaces { ...TypeRef }
		enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason } possibleTypes { ...TypeRef } }
	fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue isDeprecated deprecationReason }
	fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
		ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } } }`

func TestIntrospection(t *testing.T) {
	cfg := newServices(t).config(t)
	schema := start(t, cfg).ask(toolsIntrospection, nil).field(t, "__schema")
	for _, one := range schema["types"].([]any) {
		described, _ := one.(map[string]any)
		name, _ := described["name"].(string)
		if strings.HasPrefix(name, "__") {
			continue
		}
		if kind := described["kind"]; kind != "SCALAR" {
			checkDescribed(t, "type", described)
		}
		for _, member := range []string{"fields", "inputFields", "enumValues"} {
			list, _ := described[member].([]any)
			for _, entry := range list {
				field, _ := entry.(map[string]any)
				checkDescribed(t, name, field)
				args, _ := field["args"].([]any)
				for _, arg := range args {
					checkDescribed(t, fmt.Sprintf("%s.%s", name, field["name"]), arg)
				}
			}
		}
	}
	for _, directive := range schema["directives"].([]any) {
		if directive.(map[string]any)["name"] == "defer" {
			t.Error("@defer is offered")
		}
	}
	cfg.Gateway.Introspection = false
	gateway := start(t, cfg)
	for _, query := range []string{`{ __schema { queryType { name } } }`, `{ a: __type(name: "Query") { name } }`, `{ ...F } fragment F on Query { __schema { queryType { name } } }`} {
		if got := gateway.ask(query, nil).code(t); got != "INTROSPECTION_DISABLED" {
			t.Errorf("%s: %s", query, got)
		}
	}
	if got := gateway.ask(`{ __typename }`, nil); got.Data["__typename"] != "Query" {
		t.Errorf("%+v", got)
	}
	if text := gateway.ask(`{ getTickets { value } }`, nil).Errors[0].Message; strings.Contains(text, "getTicket\"") {
		t.Errorf("a suggestion tells the schema: %s", text)
	}
}

func checkDescribed(t *testing.T, of string, entry any) {
	t.Helper()
	described, _ := entry.(map[string]any)
	if text, _ := described["description"].(string); text == "" {
		t.Errorf("%s.%v has no description", of, described["name"])
	}
}
