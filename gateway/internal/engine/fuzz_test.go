package engine

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/littlevote/littlevote/gateway/graph/exec"
	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
)

// nothing resolves no field: each is an internal error, and no service is needed.
type nothing struct{ exec.Root }

func (nothing) Service() model.Service { return model.Service{} }

// Whatever a document is, it is refused with a code, or runs, in bounded time; and it is judged alike the second time, when
// it is kept.
func FuzzDocuments(f *testing.F) {
	for _, seed := range []string{
		"", "{", "{__typename}", `{getUserVotes(username:"A"){votes}}`, `mutation{ticketAndVote(usernames:"A"){code}}`,
		"query A{__typename} query B{__typename}", "{...F} fragment F on Query{...F}", "{...A} fragment A on Query{...B} fragment B on Query{...A}",
		"query($a:Int=1,$b:[[String!]]!){__typename @include(if:$c)}", `{a:__typename ...@skip(if:true){b:__typename}}`, `{vote(id:"x"){state choices{votes}}}`,
		"{__schema{types{fields{type{ofType{ofType{name}}}}}}}", `"""x""" {a}`, "subscription{tally}", "{_entities(representations:[]){...on UserVote{votes}}}",
		`{getTicket(ballot:"\u0000\ud800"){value}}`, "#\n{__typename}", "\ufeff{__typename}", "{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a}}}}}}}}}}}}}}}}}",
		`{getUserVotes(username:$x){votes}}`, "fragment F on Query{__typename}", `query($x:VoteInput){__typename}`,
	} {
		f.Add([]byte(seed))
	}
	cfg := Config{Limits: Limits{Tokens: 1000, Depth: 15, Aliases: 50, Mutations: 10, Complexity: 20_000}, CacheBytes: 1 << 20, Introspection: true}
	engine := New(exec.New(nothing{}), cfg, answer.NewTexts(), slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 64<<10 {
			return // no such request comes this far
		}
		began := time.Now()
		first, errs := engine.Prepare(text)
		for _, err := range errs {
			if code, _ := err.Extensions["code"].(string); code == "" || len(err.Message) > maxMessage+10 || err.Extensions["outcome"] != "NONE" {
				t.Errorf("an error without a code, or a long one: %v", err)
			}
		}
		if (first == nil) != (len(errs) > 0) || len(errs) > maxErrors {
			t.Errorf("%v with %d errors", first != nil, len(errs))
		}
		if again, _ := engine.Prepare(text); (again == nil) != (first == nil) {
			t.Error("judged otherwise the second time")
		}
		if first != nil {
			run(t, engine, first)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// run executes what can be: queries of introspection. All else would panic for want of resolvers, which is part of the
// test: a panic is an error of one field.
func run(t *testing.T, engine *Engine, document *Document) {
	t.Helper()
	operation, errs := document.Select("")
	if errs != nil || engine.Bind(&operation, nil) != nil {
		return
	}
	response := engine.Execute(t.Context(), operation, http.Header{})
	if len(response.Errors) == 0 && !strings.HasPrefix(string(response.Data), "{") {
		t.Errorf("neither data nor errors: %s", response.Data)
	}
}
