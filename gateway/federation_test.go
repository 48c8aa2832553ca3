package gateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
)

func TestServiceDescribesTheSubgraph(t *testing.T) {
	cfg := newServices(t).config(t)
	for _, introspection := range []bool{true, false} {
		cfg.Gateway.Introspection = introspection
		gateway := start(t, cfg)
		sdl, _ := gateway.ask(`{ _service { sdl } }`, nil).field(t, "_service")["sdl"].(string)
		doc, err := parser.ParseSchema(&ast.Source{Input: sdl})
		if err != nil {
			t.Fatalf("the SDL does not parse: %v", err)
		}
		if len(doc.SchemaExtension) != 1 || doc.SchemaExtension[0].Directives.ForName("link") == nil {
			t.Error("no @link")
		}
		entity := doc.Definitions.ForName("UserVote")
		if entity == nil || len(entity.Directives) != 1 || entity.Directives[0].Name != "key" {
			t.Error("UserVote needs exactly one @key")
		}
		if strings.Contains(sdl, "_entities") || strings.Contains(sdl, "directive @key") {
			t.Error("the SDL holds what composition adds")
		}
	}
}

const entitiesDocument = `query($r: [_Any!]!) { _entities(representations: $r) { ... on UserVote { ballot username votes } __typename } }`

func representation(ballot, username string) variables {
	return variables{"__typename": "UserVote", "ballot": ballot, "username": username}
}

func TestEntitiesAreOneCallInOrder(t *testing.T) {
	behind := newServices(t)
	gateway := start(t, behind.config(t))
	var representations []variables
	var want []any
	for i := range 50 {
		name := string(rune('A' + i%26))
		representations = append(representations, representation("main", name))
		want = append(want, map[string]any{"ballot": "main", "username": name, "votes": float64(name[0]), "__typename": "UserVote"})
	}
	answer := gateway.ask(entitiesDocument, variables{"r": representations})
	if diff := cmp.Diff(want, answer.Data["_entities"]); diff != "" || answer.Errors != nil {
		t.Error(diff, answer.Errors)
	}
	if calls := behind.queryCalls.Load(); calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

// What is wrong with one representation is said at its place and touches no other.
func TestABrokenRepresentationSpoilsNothing(t *testing.T) {
	gateway := newServices(t).start(t)
	answer := gateway.ask(entitiesDocument, variables{"r": []variables{
		{"__typename": "UserVote", "ballot": "main"},
		representation("main", "A"),
		{"__typename": "Ticket", "value": "main"},
		{"__typename": "UserVote", "ballot": nil, "username": "A"},
		{"__typename": "UserVote", "ballot": "main", "username": 5},
		representation("none", "A"),
		representation("Main", "A"),
		representation("main", "AA"),
		{"ballot": "main", "username": "A"},
		representation("cast", "alice"),
	}})
	want := []any{
		nil, map[string]any{"ballot": "main", "username": "A", "votes": 65.0, "__typename": "UserVote"},
		nil, nil, nil, nil, nil, nil, nil,
		map[string]any{"ballot": "cast", "username": "alice", "votes": 0.0, "__typename": "UserVote"},
	}
	if diff := cmp.Diff(want, answer.Data["_entities"]); diff != "" {
		t.Error(diff)
	}
	wantCodes := map[string]string{
		"0": "INVALID_ARGUMENT", "2": "INVALID_ARGUMENT", "3": "INVALID_ARGUMENT", "4": "INVALID_ARGUMENT", "5": "BALLOT_NOT_FOUND",
		"6": "INVALID_ARGUMENT", "7": "INVALID_ARGUMENT", "8": "INVALID_ARGUMENT",
	}
	got := map[string]string{}
	for _, err := range answer.Errors {
		if len(err.Path) != 2 || err.Path[0] != "_entities" {
			t.Fatalf("path %v", err.Path)
		}
		got[fmt.Sprint(err.Path[1])], _ = err.Extensions["code"].(string)
	}
	if diff := cmp.Diff(wantCodes, got); diff != "" {
		t.Error(diff)
	}
}

func TestTooManyEntities(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	representations := make([]variables, 1001)
	for i := range representations {
		representations[i] = representation("main", "A")
	}
	if got := gateway.ask(entitiesDocument, variables{"r": representations}).code(t); got != "INVALID_ARGUMENT" || behind.queryCalls.Load() != 0 {
		t.Errorf("%s after %d calls", got, behind.queryCalls.Load())
	}
}

func TestEntitiesOfLiterals(t *testing.T) {
	gateway := newServices(t).start(t)
	answer := gateway.ask(`{ _entities(representations: [{__typename: "UserVote", ballot: "main", username: "C"}]) { ... on UserVote { votes } } }`, nil)
	if diff := cmp.Diff([]any{map[string]any{"votes": 67.0}}, answer.Data["_entities"]); diff != "" {
		t.Error(diff)
	}
}

// The count of an entity may be out of range for an Int: then that entity alone is null.
func TestAnEntityThatOverflows(t *testing.T) {
	behind := newServices(t)
	behind.tally = func(read *queryv1.TallyRead) *queryv1.Tally {
		tally := tallyOf(read)
		if read.GetCandidates()[0] == "B" {
			tally.Counts[0].Votes = 1 << 40
		}
		return tally
	}
	gateway := behind.start(t)
	answer := gateway.ask(entitiesDocument, variables{"r": []variables{representation("main", "A"), representation("main", "B")}})
	list, _ := answer.Data["_entities"].([]any)
	if len(list) != 2 || list[0] == nil || list[1] != nil || answer.code(t) != "COUNT_OVERFLOW" {
		t.Errorf("%+v", answer)
	}
}
