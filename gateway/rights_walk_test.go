package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"google.golang.org/grpc/codes"

	"github.com/littlevote/littlevote/gateway/graph/exec"
	"github.com/littlevote/littlevote/gateway/internal/identity"
	"github.com/littlevote/littlevote/gateway/internal/identity/identitytest"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	ticketv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ticket/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// The callers of the walk: somebody unknown who names the tenant, a voter of it, an organiser of another one, and one of it.
const (
	anybody = iota
	voter
	stranger
	organiserOf
	callers
)

// rights are what each of the callers comes to: OK, a code, or NONE for an answer that shows and changes nothing.
type rights [callers]string

var (
	// everybody may, of the tenant that they name or that their token names.
	everybody = rights{"OK", "OK", "BALLOT_NOT_FOUND", "OK"}
	// public is what belongs to no tenant.
	public = rights{"OK", "OK", "OK", "OK"}
	// known is what needs a name, and touches one's own things only.
	known = rights{"UNAUTHENTICATED", "OK", "OK", "OK"}
	// organisers is what needs the scope, in one's own tenant.
	organisers = rights{"UNAUTHENTICATED", "PERMISSION_DENIED", "BALLOT_NOT_FOUND", "OK"}
)

// walked is one root field: how it is asked for, and who may.
type walked struct {
	document string // asks about the ballot song, or about the post
	may      rights
}

// rootRights must name every root field of the schema.
func rootRights() map[string]walked {
	const ticket = `{value:"v",version:"1.1.1",remainingUsages:1,expiresAt:"2026-11-21T08:00:00Z",createdAt:"2026-11-21T08:00:00Z"}`
	ownTenant := rights{"UNAUTHENTICATED", "PERMISSION_DENIED", "OK", "OK"} // a list of one's own, or a new one
	return map[string]walked{
		"Query.getTicket":        {`{getTicket(ballot:"song"){version}}`, everybody},
		"Query.getUserVotes":     {`{getUserVotes(ballot:"song",username:"a"){votes}}`, everybody},
		"Query.getAllUserVotes":  {`{getAllUserVotes(ballot:"song"){votes}}`, everybody},
		"Query.vote":             {`{vote(ballot:"song",id:"` + aVote + `"){state}}`, everybody}, // whoever knows the vote's random id
		"Query.me":               {`{me{voter}}`, rights{"NONE", "OK", "OK", "OK"}},
		"Query.ballot":           {`{ballot(id:"song"){title}}`, everybody},
		"Query.ballots":          {`{ballots{entries{title}}}`, ownTenant},
		"Query.auditLog":         {`{auditLog{entries{actor}}}`, ownTenant},
		"Query.voids":            {`{voids(ballot:"song"){reason}}`, rights{"UNAUTHENTICATED", "PERMISSION_DENIED", "NONE", "OK"}},
		"Query.hasLiked":         {`{hasLiked(items:["` + aPost + `"])}`, public},
		"Query.article":          {`{article(id:"` + aPost + `"){id}}`, public},
		"Query.articles":         {`{articles{posts{id}}}`, public},
		"Query.myLikes":          {`{myLikes{next}}`, known},
		"Mutation.vote":          {`mutation{vote(ballot:"song",input:{usernames:["a"],ticket:` + ticket + `}){code}}`, rights{"TICKET_INVALID", "TICKET_INVALID", "TICKET_INVALID", "TICKET_INVALID"}},
		"Mutation.ticketAndVote": {`mutation{ticketAndVote(ballot:"song",usernames:["a"]){code}}`, everybody},
		"Mutation.retractVote":   {`mutation{retractVote(ballot:"song",id:"` + aVote + `"){code}}`, rights{"UNAUTHENTICATED", "OK", "VOTE_NOT_FOUND", "VOTE_NOT_FOUND"}},
		"Mutation.changeVote":    {`mutation{changeVote(ballot:"song",id:"` + aVote + `",usernames:["a"]){code}}`, rights{"UNAUTHENTICATED", "OK", "BALLOT_NOT_FOUND", "VOTE_NOT_FOUND"}},
		"Mutation.createBallot":  {`mutation{createBallot(input:{id:"new",title:"x"}){id}}`, ownTenant},
		"Mutation.updateBallot":  {`mutation{updateBallot(id:"song",input:{title:"ACME again"}){id}}`, organisers},
		"Mutation.closeBallot":   {`mutation{closeBallot(id:"closing"){id}}`, organisers},
		"Mutation.certifyBallot": {`mutation{certifyBallot(id:"closed"){ballot}}`, organisers},
		"Mutation.proposeVoid":   {`mutation{proposeVoid(input:{ballot:"song",id:"` + aVote + `",firstAdmissionNumber:"1",lastAdmissionNumber:"2",reason:"x"}){id}}`, organisers},
		"Mutation.approveVoid":   {`mutation{approveVoid(ballot:"song",id:"` + otherVoid + `"){id}}`, rights{"UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "OK"}},
		"Mutation.like":          {`mutation{like(item:"` + aPost + `"){code}}`, known},
		"Mutation.unlike":        {`mutation{unlike(item:"` + aPost + `"){code}}`, rights{"UNAUTHENTICATED", "NOT_LIKED", "NOT_LIKED", "NOT_LIKED"}},
		"Mutation.register":      {`mutation{register(name:"bob",password:"correct horse"){id}}`, public},
		"Mutation.login":         {`mutation{login(name:"alice",password:"correct horse"){user{id}}}`, public},                                                            // whoever knows the password
		"Mutation.logout":        {`mutation{logout}`, public},                                                                                                            // one's own session
		"Mutation.createPost":    {`mutation{createPost(title:"t",content:"c"){id}}`, rights{"UNAUTHENTICATED", "UNAUTHENTICATED", "UNAUTHENTICATED", "UNAUTHENTICATED"}}, // needs an account
		"Subscription.tally":     {`subscription{tally(ballot:"song"){seq}}`, everybody},
		"Query._entities":        {`{_entities(representations:[{__typename:"Ballot",id:"song"}]){...on Ballot{title}}}`, everybody},
		"Query._service":         {`{_service{sdl}}`, public},
	}
}

// newWalk is a gateway before everything, with the ballot song of acme.
func newWalk(t *testing.T) (*arena, *blog) {
	t.Helper()
	behind, issuer, b := newServices(t), identitytest.New(t), newBlog()
	behind.contest = newContest()
	behind.contest.hold("acme.song", "ACME song", nil)
	behind.contest.hold("acme.closing", "ACME too", nil)
	behind.contest.hold("acme.closed", "ACME closed", func(b *ballotv1.Ballot) { b.State = ballotv1.BallotState_BALLOT_STATE_CLOSED })
	behind.contest.voids[otherVoid] = &ballotv1.Void{Id: otherVoid, Ballot: "acme.song", Reason: "ACME", ProposedBy: "jwt:x"}
	behind.contest.note("acme.song", "ACME", "create")
	absent := refusal(codes.NotFound, statusv1.Code_CODE_BALLOT_NOT_FOUND, "no such ballot")
	held := func(ballot string) bool { return behind.contest.ballots[ballot] != nil } // who asks changes none
	ticketOf, counts := behind.ticket, behind.vote
	behind.ticket = func(ctx context.Context, ballot string) (*ticketv1.Ticket, error) {
		if !held(ballot) {
			return nil, absent
		}
		return ticketOf(ctx, ballot)
	}
	behind.vote = func(ctx context.Context, vote *votev1.Vote) *votev1.Verdict {
		switch {
		case !held(vote.GetBallot()):
			return refusedWith(statusv1.Code_CODE_BALLOT_NOT_FOUND)
		case vote.GetReplaces() != "" && vote.GetVoter() != voterID("voted"):
			return refusedWith(statusv1.Code_CODE_VOTE_NOT_FOUND)
		default:
			return counts(ctx, vote)
		}
	}
	behind.status = func(r *votev1.GetVoteStatusRequest) (*votev1.GetVoteStatusResponse, error) {
		if !held(r.GetBallot()) {
			return nil, absent
		}
		return &votev1.GetVoteStatusResponse{State: votev1.VoteState_VOTE_STATE_VOID, VoteId: r.GetVoteId()}, nil
	}
	cfg := behind.blogConfig(t, b)
	behind.tally = func(read *queryv1.TallyRead) *queryv1.Tally {
		tally := tallyOf(&queryv1.TallyRead{Ballot: "x", Candidates: []string{"a"}})
		tally.Code = behind.visible(read.GetBallot(), read.GetViewer())
		return tally
	}
	cfg.Auth.Issuers, cfg.Auth.JWKSFile = []string{"test-issuer"}, issuer.File()
	issuer.URL = "test-issuer"
	return &arena{running: start(t, cfg), services: behind, issuer: issuer}, b
}

// headers of the callers.
func (a *arena) callers() [callers][]string {
	return [callers][]string{
		anybody:     {"Littlevote-Tenant", "acme"},
		voter:       {"Authorization", "Bearer " + a.issuer.Token("voted", "acme", "")},
		stranger:    {"Authorization", "Bearer " + a.issuer.Token("olga", "beta", organiser)},
		organiserOf: {"Authorization", "Bearer " + a.issuer.Token("olga", "acme", organiser)},
	}
}

// came is what an answer comes to.
func came(text string) string {
	var got struct {
		Data   map[string]any
		Errors []struct{ Extensions map[string]any }
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		return "no JSON: " + text
	}
	if len(got.Errors) > 0 {
		code, _ := got.Errors[0].Extensions["code"].(string)
		return code
	}
	for _, value := range got.Data {
		if object, ok := value.(map[string]any); ok && object["code"] != nil {
			return fmt.Sprint(object["code"])
		}
		if list, ok := value.([]any); value != nil && (!ok || len(list) > 0) {
			return "OK"
		}
	}
	return "NONE"
}

// Who may do what: every root field, by every kind of caller. A field that the table lacks fails, and so does a change of what
// somebody may.
func TestWhoMayDoWhat(t *testing.T) {
	table := rootRights()
	schema := exec.New(nil).Schema()
	for name, root := range map[string]*ast.Definition{"Query": schema.Query, "Mutation": schema.Mutation, "Subscription": schema.Subscription} {
		for _, field := range root.Fields {
			if strings.HasPrefix(field.Name, "__") {
				continue
			}
			if _, ruled := table[name+"."+field.Name]; !ruled {
				t.Errorf("%s.%s: nobody has said who may ask for it", name, field.Name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		of, field, _ := strings.Cut(name, ".")
		if root := schema.Types[of]; root == nil || root.Fields.ForName(field) == nil {
			t.Errorf("%s: there is no such field", name)
			continue
		}
		t.Run(name, func(t *testing.T) { walk(t, table[name]) })
	}
}

// walk asks a gateway of its own, as each of the callers, those who may least first.
func walk(t *testing.T, field walked) {
	t.Helper()
	a, b := newWalk(t)
	before := state(t, a.services.contest, "acme.")
	for caller, header := range a.callers() {
		body, _ := json.Marshal(map[string]any{"query": field.document})
		header = append([]string{"Content-Type", "application/json"}, header...)
		var text string
		if strings.HasPrefix(field.document, "subscription") {
			text = a.firstEvent(t, string(body), header)
		} else {
			_, text, _ = a.send(http.MethodPost, a.url, string(body), header...)
		}
		if got := came(text); got != field.may[caller] {
			t.Errorf("caller %d: %s, want %s: %s", caller, got, field.may[caller], text)
		}
		if caller == stranger && strings.Contains(text, "ACME") {
			t.Errorf("another tenant's organiser sees %s", text)
		}
		if caller < organiserOf && before != state(t, a.services.contest, "acme.") {
			t.Errorf("caller %d changed a ballot", caller)
		}
	}
	for key := range b.likes {
		if key[1] == "" {
			t.Error("nobody likes something")
		}
	}
}

// firstEvent is the data of the first event of a stream, or the answer that is none.
func (a *arena) firstEvent(t *testing.T, body string, header []string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	request.Header.Set("Accept", "text/event-stream")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			return data
		}
	}
	return "nothing"
}

// restRights must name every operation of the REST API. There are no ballots in it; who has a session has an account.
func restRights() map[string]struct {
	body          string
	anybody, user string
} {
	return map[string]struct{ body, anybody, user string }{
		"GET /api/user/login?userId=" + anAuthor: {"", "PERMISSION_DENIED", "PERMISSION_DENIED"}, // by an id alone: a setting
		"POST /api/user/login":                   {`{"name":"alice","password":"correct horse"}`, "OK", "OK"},
		"POST /api/user/register":                {`{"name":"bob","password":"correct horse"}`, "OK", "OK"},
		"POST /api/user/logout":                  {`{}`, "OK", "OK"},
		"GET /api/user/get/login":                {"", "UNAUTHENTICATED", "OK"},
		"GET /api/blog/get?blogId=" + aPost:      {"", "OK", "OK"},
		"GET /api/blog/list":                     {"", "OK", "OK"},
		"POST /api/blog/add":                     {`{"title":"t","content":"c"}`, "UNAUTHENTICATED", "OK"},
		"POST /api/thumb/do":                     {`{"blogId":` + aPost + `}`, "UNAUTHENTICATED", "OK"},
		"POST /api/thumb/undo":                   {`{"blogId":` + aPost + `}`, "UNAUTHENTICATED", "NOT_LIKED"},
	}
}

func TestWhoMayDoWhatByREST(t *testing.T) {
	table := restRights()
	s, b := newServices(t), newBlog()
	gateway := start(t, s.blogConfig(t, b))
	_, text, _ := gateway.send(http.MethodGet, "http://"+gateway.Addr()+"/api/openapi.json", "")
	var api struct{ Paths map[string]map[string]any }
	if err := json.Unmarshal([]byte(text), &api); err != nil || len(api.Paths) == 0 {
		t.Fatalf("%v in %s", err, text)
	}
	for path, methods := range api.Paths {
		for method := range methods {
			operation := strings.ToUpper(method) + " " + path
			if !slices.ContainsFunc(slices.Collect(maps.Keys(table)), func(key string) bool { key, _, _ = strings.Cut(key, "?"); return key == operation }) {
				t.Errorf("%s: nobody has said who may", operation)
			}
		}
	}
	for operation, rule := range table {
		method, path, _ := strings.Cut(operation, " ")
		if described, _, _ := strings.Cut(path, "?"); api.Paths[described][strings.ToLower(method)] == nil {
			t.Errorf("%s is not in the description", operation)
		}
		for header, want := range map[string]string{"": rule.anybody, identity.Cookie + "=" + aSession: rule.user} {
			b.mu.Lock()
			b.ended, b.likes = nil, map[[3]string]bool{} // each begins anew
			b.mu.Unlock()
			var headers []string
			if header != "" {
				headers = []string{"Cookie", header}
			}
			if _, got, _ := gateway.rest(method, path, rule.body, headers...); got.Reason != want {
				t.Errorf("%s with cookie %q: %+v, want %s", operation, header, got, want)
			}
		}
	}
}

// The dialects know no organisers: whatever they offer is for everybody, of the tenant that is named.
func TestWhoMayDoWhatInDialects(t *testing.T) {
	table := map[string]string{
		"cast Query.query": `{query(username:"a")}`, "cast Query.cas": `{cas{remainingUsage}}`,
		"cast Mutation.vote": `mutation{vote(usernames:["a"],voteCount:[1],ticket:"x"){__typename}}`,
		"tiny Query.query":   `{query(username:"a")}`, "tiny Query.cas": `{cas}`, "tiny Mutation.vote": `mutation{vote(usernames:["a"],ticket:"x")}`,
	}
	a, _ := newWalk(t)
	asked := map[string]bool{}
	a.services.asked = func(_, body string) {
		for _, foreign := range []string{"acme.song", "beta.song"} {
			if strings.Contains(body, foreign) {
				t.Errorf("a dialect asks for %s", foreign)
			}
		}
	}
	for _, dialect := range []string{"cast", "tiny"} {
		url := "http://" + a.Addr() + "/" + dialect + "/graphql"
		_, text, _ := a.send(http.MethodPost, url, `{"query":"{__schema{queryType{name fields{name}}mutationType{name fields{name}}}}"}`, "Content-Type", "application/json")
		var schema struct {
			Data struct {
				Schema map[string]struct {
					Name   string
					Fields []struct{ Name string }
				} `json:"__schema"`
			}
		}
		if err := json.Unmarshal([]byte(text), &schema); err != nil || len(schema.Data.Schema) == 0 {
			t.Fatalf("%v in %s", err, text)
		}
		for _, root := range schema.Data.Schema {
			for _, field := range root.Fields {
				name := dialect + " " + root.Name + "." + field.Name
				document, ruled := table[name]
				if !ruled {
					t.Errorf("%s: nobody has said who may", name)
				}
				asked[name] = true
				for caller, header := range a.callers() {
					body, _ := json.Marshal(map[string]any{"query": document})
					_, text, _ := a.send(http.MethodPost, url, string(body), append([]string{"Content-Type", "application/json"}, header...)...)
					if got := came(text); got == "UNAUTHENTICATED" || got == "PERMISSION_DENIED" || got == "GRAPHQL_VALIDATION_FAILED" || strings.Contains(text, "ACME") {
						t.Errorf("%s, caller %d: %s", name, caller, text)
					}
				}
			}
		}
	}
	if len(asked) != len(table) {
		t.Errorf("asked for %d of %d fields", len(asked), len(table))
	}
}
