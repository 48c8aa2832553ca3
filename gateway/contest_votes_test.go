package gateway

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// Counts that a reader may not see are hidden on every path there is.
func TestHiddenResultsStayHidden(t *testing.T) {
	const open, closed, certified = ballotv1.BallotState_BALLOT_STATE_OPEN, ballotv1.BallotState_BALLOT_STATE_CLOSED, ballotv1.BallotState_BALLOT_STATE_CERTIFIED
	const always, afterVote, afterClose, never = ballotv1.Visibility_VISIBILITY_ALWAYS, ballotv1.Visibility_VISIBILITY_AFTER_VOTE,
		ballotv1.Visibility_VISIBILITY_AFTER_CLOSE, ballotv1.Visibility_VISIBILITY_NEVER
	paths := map[string]string{
		"getUserVotes":         `{ getUserVotes(username: "a", ballot: "song") { votes } }`,
		"getUserVotes, token":  `{ getUserVotes(username: "a", ballot: "song", atLeast: "` + aToken + `") { votes } }`,
		"getAllUserVotes":      `{ getAllUserVotes(ballot: "song") { votes } }`,
		"ranking":              `{ ballot(id: "song") { ranking { totalExact } } }`,
		"ranking, token":       `{ ballot(id: "song") { ranking(atLeast: "` + aToken + `") { totalExact } } }`,
		"entity UserVote":      `{ _entities(representations: [{__typename: "UserVote", ballot: "song", username: "a"}]) { ... on UserVote { votes } } }`,
		"ranking of an entity": `{ _entities(representations: [{__typename: "Ballot", id: "song"}]) { ... on Ballot { ranking { totalExact } } } }`,
	}
	type reader struct{ subject, scope string }
	unknown, voted, other, admin := reader{}, reader{subject: "voted"}, reader{subject: "other"}, reader{subject: "olga", scope: organiser}
	for _, test := range []struct {
		visibility ballotv1.Visibility
		state      ballotv1.BallotState
		see        []reader
	}{
		{always, open, []reader{unknown, voted, other, admin}},
		{afterVote, open, []reader{voted}},
		{afterVote, closed, []reader{unknown, voted, other, admin}},
		{afterClose, open, nil},
		{afterClose, closed, []reader{unknown, voted, other, admin}},
		{never, open, nil},
		{never, closed, nil},
		{never, certified, []reader{admin}},
	} {
		a := newArena(t, func(c *contest) {
			c.hold("song", "", func(b *ballotv1.Ballot) { b.Visibility, b.State = test.visibility, test.state })
		})
		for _, who := range []reader{unknown, voted, other, admin} {
			sees := false
			for _, one := range test.see {
				sees = sees || one == who
			}
			read := func(query string) answerJSON {
				if who == unknown {
					return a.ask(query, nil)
				}
				return a.as(who.subject, "", who.scope, query, nil)
			}
			all := paths
			if test.state == certified {
				all = map[string]string{"result": `{ ballot(id: "song") { result { signed } } }`}
				for name, query := range paths {
					all[name] = query
				}
			}
			for path, query := range all {
				want := "RESULTS_HIDDEN"
				if sees {
					want = ""
				}
				if got := read(query); got.code0() != want {
					t.Errorf("%v, %v: %s by %q: %q, want %q", test.visibility, test.state, path, who.subject, got.code0(), want)
				}
			}
		}
	}
}

// Who votes is the token's word, and no argument's.
func TestVotesCarryWhoVotes(t *testing.T) {
	a := newArena(t, func(c *contest) { c.hold("acme.song", "", nil) })
	sent := make(chan *votev1.Vote, 1)
	a.services.vote = func(_ context.Context, vote *votev1.Vote) *votev1.Verdict { sent <- vote; return counted(vote) }
	for name, header := range map[string][]string{
		voterID("alice"): {"Authorization", "Bearer " + a.issuer.Token("alice", "acme", "")},
		"":               {"Littlevote-Tenant", "acme"},
	} {
		a.ask(ticketAndVoteDocument, variables{"usernames": []string{"a"}, "ballot": "song"}, header...)
		if vote := <-sent; vote.GetVoter() != name || vote.GetBallot() != "acme.song" {
			t.Errorf("%q: %v", name, vote)
		}
	}
}

// Where the ballot wants a voter, who votes without a token is told that, not that a name is wrong.
func TestAVoteThatNeedsAToken(t *testing.T) {
	a := newArena(t, func(c *contest) { c.hold("song", "", nil) })
	a.services.vote = func(_ context.Context, vote *votev1.Vote) *votev1.Verdict {
		refused := refusedWith(statusv1.Code_CODE_INVALID_ARGUMENT)
		refused.Detail = "voter: needed, since the ballot limits the votes of each"
		if vote.GetVoter() != "" {
			refused.Detail = "voter: something else"
		}
		return refused
	}
	values := variables{"usernames": []string{"a"}, "ballot": "song"}
	if got := a.ask(ticketAndVoteDocument, values).field(t, "ticketAndVote"); got["code"] != "UNAUTHENTICATED" || got["message"] != "身份验证失败" || got["outcome"] != "NONE" {
		t.Errorf("%v", got)
	}
	if got := a.as("alice", "", "", ticketAndVoteDocument, values).field(t, "ticketAndVote"); got["code"] != "INVALID_ARGUMENT" || got["message"] != "请求格式不正确" {
		t.Errorf("%v", got)
	}
}

func TestRetractAndChange(t *testing.T) {
	a := newArena(t, func(c *contest) { c.hold("song", "", nil) })
	sent := make(chan *votev1.Vote, 10)
	a.services.vote = func(_ context.Context, vote *votev1.Vote) *votev1.Verdict { sent <- vote; return counted(vote) }
	const retract = `mutation($id: ID!, $key: String) { retractVote(id: $id, ballot: "song", idempotencyKey: $key) { success code message usernames outcome voteId } }`
	const change = `mutation($id: ID!, $key: String) { changeVote(id: $id, ballot: "song", usernames: ["b"], idempotencyKey: $key) { success code usernames } }`
	done := a.as("voted", "", "", retract, variables{"id": strings.ToUpper(aVote), "key": aKey}).field(t, "retractVote")
	if diff := cmp.Diff(map[string]any{
		"success": true, "code": "OK", "message": "投票已撤回", "usernames": []any{}, "outcome": "COUNTED", "voteId": aKey,
	}, done); diff != "" {
		t.Error(diff)
	}
	if got := a.as("other", "", "", retract, variables{"id": aVote}).field(t, "retractVote"); got["code"] != "VOTE_NOT_FOUND" || got["success"] != false {
		t.Errorf("somebody else's: %v", got)
	}
	if got := a.as("voted", "", "", change, variables{"id": aVote, "key": aKey}).field(t, "changeVote"); got["code"] != "OK" {
		t.Errorf("%v", got)
	}
	if vote := <-sent; vote.GetReplaces() != aVote || vote.GetVoter() != voterID("voted") || vote.GetIdempotencyKey() != aKey || !vote.GetNewestTicket() {
		t.Errorf("%v", vote)
	}
	for name, query := range map[string]string{"retractVote": retract, "changeVote": change} {
		if got := a.ask(query, variables{"id": aVote}).field(t, name); got["code"] != "UNAUTHENTICATED" || got["success"] != false {
			t.Errorf("%s by somebody unknown: %v", name, got)
		}
		for _, values := range []variables{{"id": ""}, {"id": "x"}, {"id": aVote + "0"}, {"id": aVote, "key": "x"}, {"id": aVote, "key": aVote}} {
			if got := a.as("voted", "", "", query, values).field(t, name); got["code"] != "INVALID_ARGUMENT" {
				t.Errorf("%s %v: %v", name, values, got)
			}
		}
	}
	if len(sent) != 0 {
		t.Error("a vote that was refused went on")
	}
	status := a.ask(`{ vote(id: "`+aVote+`", ballot: "song") { state admissionNumber } }`, nil).field(t, "vote")
	if diff := cmp.Diff(map[string]any{"state": "VOID", "admissionNumber": "1099511627776"}, status); diff != "" {
		t.Error(diff)
	}
}

func TestOnesOwnVotes(t *testing.T) {
	a := newArena(t, func(c *contest) { c.hold("song", "", nil) })
	const query = `{ ballot(id: "song") { myVotes(first: 1) { entries { id username votedAt } next } } }`
	got := a.as("voted", "", "", query, nil).field(t, "ballot")["myVotes"]
	if diff := cmp.Diff(map[string]any{
		"entries": []any{map[string]any{"id": aVote, "username": "a", "votedAt": decided}}, "next": "more",
	}, got); diff != "" {
		t.Error(diff)
	}
	if code := a.ask(query, nil).code(t); code != "UNAUTHENTICATED" {
		t.Error(code)
	}
}

func TestRankingPages(t *testing.T) {
	a := newArena(t, func(c *contest) { c.hold("song", "", nil) })
	const query = `query($c: String) { ballot(id: "song") { ranking(first: 1, after: $c) { entries { rank count { ballot username votes } } next candidateCount totalExact stale asOf } } }`
	got := a.ask(query, nil).field(t, "ballot")["ranking"]
	if diff := cmp.Diff(map[string]any{
		"entries": []any{map[string]any{"rank": 1.0, "count": map[string]any{"ballot": "song", "username": "a", "votes": 9.0}}},
		"next":    "second", "candidateCount": 2.0, "totalExact": "1099511627776", "stale": false, "asOf": decided,
	}, got); diff != "" {
		t.Error(diff)
	}
}

// Ballots asked for at the same moment are read at once, and each once.
func TestEntitiesThatAreBallots(t *testing.T) {
	a := newArena(t, func(c *contest) {
		c.hold("song", "s", nil)
		c.hold("film", "f", nil)
	})
	var representations []variables
	for range 20 {
		for _, id := range []string{"song", "film", "none"} {
			representations = append(representations, variables{"__typename": "Ballot", "id": id})
		}
	}
	var calls atomic.Int64
	a.services.asked = func(string, string) { calls.Add(1) }
	got := a.ask(`query($r: [_Any!]!) { _entities(representations: $r) { ... on Ballot { id title } } }`, variables{"r": representations})
	list, _ := got.Data["_entities"].([]any)
	if len(list) != 60 || len(got.Errors) != 20 {
		t.Fatalf("%d entities, %d errors", len(list), len(got.Errors))
	}
	for i, want := range []any{map[string]any{"id": "song", "title": "s"}, map[string]any{"id": "film", "title": "f"}, nil} {
		if diff := cmp.Diff(want, list[57+i]); diff != "" {
			t.Error(diff)
		}
	}
	if n := calls.Load(); n > 15 {
		t.Errorf("%d calls for 3 ballots", n)
	}
}

// A token that can't be believed is refused before the request is read, whatever it asks.
func TestABadTokenIsNeverNobody(t *testing.T) {
	a := newArena(t, func(c *contest) { c.hold("song", "", nil) })
	var calls atomic.Int64
	a.services.asked = func(string, string) { calls.Add(1) }
	claims := a.issuer.Good()
	claims["exp"] = 1
	for name, test := range map[string]struct {
		header []string
		status int
		code   string
	}{
		"expired":       {[]string{"Authorization", "Bearer " + a.issuer.Sign(claims)}, http.StatusUnauthorized, "UNAUTHENTICATED"},
		"9 KiB":         {[]string{"Authorization", "Bearer " + strings.Repeat("a", 9<<10)}, http.StatusUnauthorized, "UNAUTHENTICATED"},
		"no session":    {[]string{"Authorization", "Bearer lvs_x"}, http.StatusUnauthorized, "UNAUTHENTICATED"},
		"other tenant":  {[]string{"Authorization", "Bearer " + a.issuer.Token("a", "acme", ""), "Littlevote-Tenant", "beta"}, http.StatusForbidden, "PERMISSION_DENIED"},
		"odd tenant":    {[]string{"Littlevote-Tenant", "a.b"}, http.StatusBadRequest, "INVALID_ARGUMENT"},
		"in English":    {[]string{"Authorization", "Basic eA==", "Accept-Language", "en"}, http.StatusUnauthorized, "UNAUTHENTICATED"},
		"malformed too": {[]string{"Authorization", "Bearer x", "Content-Type", "text/plain"}, http.StatusUnauthorized, "UNAUTHENTICATED"},
	} {
		const body = `{"query":"mutation { ticketAndVote(usernames: [\"a\"], ballot: \"song\") { code } }"}`
		status, text, _ := a.send(http.MethodPost, a.url, body, append([]string{"Content-Type", "application/json"}, test.header...)...)
		if status != test.status || a.parse(text).code(t) != test.code || a.parse(text).Data != nil {
			t.Errorf("%s: %d %s", name, status, text)
		}
		if name == "in English" && !strings.Contains(text, "Credentials are missing or wrong") {
			t.Error(text)
		}
	}
	if calls.Load() != 0 {
		t.Errorf("%d calls", calls.Load())
	}
}
