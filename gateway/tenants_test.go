package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
)

// everyField asks for every field of the schemas of ballots, with each of the names that $b may stand for.
func everyField() map[string]string {
	const ticket = `{value:"v",version:"1.1.1",remainingUsages:1,expiresAt:"2026-11-21T08:00:00Z",createdAt:"2026-11-21T08:00:00Z"}`
	const page = `entries{id ballot}`
	return map[string]string{
		"Query.getTicket":         `query($b:ID!){getTicket(ballot:$b){value version}}`,
		"Query.getUserVotes":      `query($b:ID!){getUserVotes(username:"a",ballot:$b){ballot username votesExact}}`,
		"Query.getAllUserVotes":   `query($b:ID!){getAllUserVotes(ballot:$b){ballot username votesExact}}`,
		"Query.vote":              `query($b:ID!){vote(id:"` + aVote + `",ballot:$b){id ballot state}}`,
		"Query.me":                `query($b:ID!){me{voter tenant scopes} ballot(id:$b){id}}`,
		"Query.ballot":            `query($b:ID!){ballot(id:$b){id title candidates ranking{entries{count{username}}} result{finalCounts{username}} myVotes{entries{id}}}}`,
		"Query.ballots":           `query($b:ID!){ballots(after:$b){entries{id title candidates}} all:ballots{entries{id title ranking{totalExact}}}}`,
		"Query.auditLog":          `query($b:ID!){auditLog(ballot:$b){` + page + `} all:auditLog{` + page + `}}`,
		"Query.voids":             `query($b:ID!){voids(ballot:$b){id ballot reason}}`,
		"Query._entities":         `query($b:ID!){_entities(representations:[{__typename:"Ballot",id:$b},{__typename:"UserVote",ballot:$b,username:"a"}]){...on Ballot{id title} ...on UserVote{ballot votesExact}}}`,
		"Mutation.vote":           `mutation($b:ID!){vote(ballot:$b,input:{usernames:["a"],ticket:` + ticket + `}){code totals{ballot}}}`,
		"Mutation.ticketAndVote":  `mutation($b:ID!){ticketAndVote(ballot:$b,usernames:["a"]){code totals{ballot}}}`,
		"Mutation.retractVote":    `mutation($b:ID!){retractVote(ballot:$b,id:"` + aVote + `"){code}}`,
		"Mutation.changeVote":     `mutation($b:ID!){changeVote(ballot:$b,id:"` + aVote + `",usernames:["b"]){code}}`,
		"Mutation.createBallot":   `mutation($b:ID!){createBallot(input:{id:$b,title:"x"}){id title}}`,
		"Mutation.updateBallot":   `mutation($b:ID!){updateBallot(id:$b,input:{title:"taken over"}){id title}}`,
		"Mutation.closeBallot":    `mutation($b:ID!){closeBallot(id:$b){id title}}`,
		"Mutation.certifyBallot":  `mutation($b:ID!){certifyBallot(id:$b){ballot finalCounts{username}}}`,
		"Mutation.proposeVoid":    `mutation($b:ID!){proposeVoid(input:{ballot:$b,id:"` + aVote + `",firstAdmissionNumber:"1",lastAdmissionNumber:"2",reason:"x"}){id ballot}}`,
		"Mutation.approveVoid":    `mutation($b:ID!){approveVoid(ballot:$b,id:"` + otherVoid + `"){id ballot reason}}`,
		"Subscription.tally":      "", // see TestTenantsDoNotSeeEachOthersTallies
		"Query.__typename":        `query($b:ID!){__typename ballot(id:$b){id}}`,
		"Ballot.ranking of other": `query($b:ID!){ballot(id:$b){ranking(first:5,after:"second",atLeast:"` + aToken + `"){entries{count{ballot username}}}}}`,
	}
}

const otherVoid = "0193f2a4-5b6c-7d8e-9f00-aaaaaaaaaaaa"

// Whatever a caller of one tenant asks, and by whatever name, nothing of another tenant's is asked of a service, shown or
// changed.
func TestTenantsNeverSeeEachOther(t *testing.T) {
	const marker = "ACME"
	a := newArena(t, func(c *contest) {
		c.hold("acme.song", marker+" song", nil)
		c.hold("acme.final", marker+" final", func(b *ballotv1.Ballot) { b.State = ballotv1.BallotState_BALLOT_STATE_CERTIFIED })
		c.hold("beta.song", "beta's song", nil)
		c.hold("song", "the default tenant's song", nil)
		c.voids[otherVoid] = &ballotv1.Void{Id: otherVoid, Ballot: "acme.song", Reason: marker, ProposedBy: "jwt:x"}
		c.note("acme.song", marker, "create")
	})
	var mu sync.Mutex
	var asked []string
	a.services.asked = func(method, body string) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, method+" "+body)
	}
	before := state(t, a.services.contest, "acme.")
	beta := "Bearer " + a.issuer.Token("olga", "beta", "ballots:admin")
	callers := map[string][]string{
		"an organiser of beta":            {"Authorization", beta},
		"somebody unknown of beta":        {"Littlevote-Tenant", "beta"},
		"somebody of the default":         {"Authorization", "Bearer " + a.issuer.Token("olga", "", "ballots:admin")},
		"somebody who claims another one": {"Authorization", beta, "Littlevote-Tenant", "acme"},
	}
	names := []string{"acme.song", "song", "final", ".song", "acme", "acme/song", "beta.acme.song", "ACME.song", "acme．song"}
	for field, query := range everyField() {
		for caller, header := range callers {
			for _, name := range names {
				if query == "" {
					continue
				}
				body, err := json.Marshal(map[string]any{"query": query, "variables": variables{"b": name}})
				if err != nil {
					t.Fatal(err)
				}
				status, text, _ := a.send(http.MethodPost, a.url, string(body), append([]string{"Content-Type", "application/json"}, header...)...)
				if strings.Contains(text, marker) || strings.Contains(text, `"acme.`) {
					t.Errorf("%s, %s, %s: %d %s", field, caller, name, status, text)
				}
				if strings.Contains(caller, "claims") && status != http.StatusForbidden {
					t.Errorf("%s, %s: %d %s", field, caller, status, text)
				}
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	another := regexp.MustCompile(`"acme\.|"tenant":\s*"acme"`)
	for _, call := range asked {
		if another.MatchString(call) {
			t.Errorf("a service was asked about another tenant: %s", call)
		}
	}
	if len(asked) == 0 {
		t.Error("nothing was asked at all")
	}
	if diff := cmp.Diff(before, state(t, a.services.contest, "acme.")); diff != "" {
		t.Errorf("another tenant's ballots changed: %s", diff)
	}
}

// A subscription reads the ballot of the caller's tenant.
func TestTenantsDoNotSeeEachOthersTallies(t *testing.T) {
	a := newArena(t, func(c *contest) {
		c.hold("acme.song", "", nil)
		c.hold("beta.song", "", nil)
	})
	asked := make(chan string, 100)
	a.services.asked = func(_, body string) {
		select {
		case asked <- body:
		default:
		}
	}
	const body = `{"query":"subscription { tally(ballot: \"song\") { ballot } }"}`
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _, _, _ = a.trySend(ctx, http.MethodPost, a.url, body, "Content-Type", "application/json", "Accept", "text/event-stream",
			"Authorization", "Bearer "+a.issuer.Token("olga", "beta", "ballots:admin"))
	}()
	if got := <-asked; !strings.Contains(got, "beta.song") || strings.Contains(got, "acme") {
		t.Error(got)
	}
	leave()
	<-ended
}

// state is all that is kept of a tenant.
func state(t *testing.T, c *contest, prefix string) string {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := map[string]any{}
	for name, ballot := range c.ballots {
		if strings.HasPrefix(name, prefix) {
			kept[name] = ballot.String()
		}
	}
	for id, void := range c.voids {
		if strings.HasPrefix(void.GetBallot(), prefix) {
			kept[id] = void.String()
		}
	}
	text, err := json.Marshal(kept)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The test above asks for every field there is.
func TestEveryFieldOfBallotsIsTried(t *testing.T) {
	tried := everyField()
	for _, name := range []string{"query", "mutation", "ballots", "organisers", "subscription"} {
		text, err := os.ReadFile(filepath.Join("graph", "schema", name+".graphqls"))
		if err != nil {
			t.Fatal(err)
		}
		document, err := parser.ParseSchema(&ast.Source{Input: string(text)})
		if err != nil {
			t.Fatal(err)
		}
		for _, definition := range append(document.Definitions, document.Extensions...) {
			switch definition.Name {
			case "Query", "Mutation", "Subscription":
			default:
				continue
			}
			for _, field := range definition.Fields {
				if _, there := tried[definition.Name+"."+field.Name]; !there {
					t.Errorf("%s.%s is not tried", definition.Name, field.Name)
				}
			}
		}
	}
}

// The same id is another ballot for each tenant, and each sees its own under it.
func TestTheSameIdOfTwoTenants(t *testing.T) {
	a := newArena(t, func(c *contest) {
		c.hold("acme.song", "one", nil)
		c.hold("beta.song", "two", nil)
		c.hold("song", "three", nil)
	})
	const query = `{ ballot(id:"song") { id title } me { tenant } }`
	for tenant, title := range map[string]string{"acme": "one", "beta": "two", "": "three"} {
		for who, got := range map[string]answerJSON{
			"known":   a.as("alice", tenant, "", query, nil),
			"unknown": a.ask(query, nil, headerOf(tenant)...),
		} {
			if diff := cmp.Diff(map[string]any{"id": "song", "title": title}, got.field(t, "ballot")); diff != "" {
				t.Errorf("%q, %s: %s", tenant, who, diff)
			}
		}
	}
	vote := a.as("alice", "acme", "", `mutation { ticketAndVote(usernames: ["a"], ballot: "song") { totals { ballot } } }`, nil)
	if diff := cmp.Diff([]any{map[string]any{"ballot": "song"}}, vote.field(t, "ticketAndVote")["totals"]); diff != "" {
		t.Error(diff)
	}
}

func headerOf(tenant string) []string {
	if tenant == "" {
		return nil
	}
	return []string{"Littlevote-Tenant", tenant}
}
