package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/littlevote/littlevote/gateway/internal/identity"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

const (
	organiser = identity.Organise
	aKey      = "0190163d-8694-739b-aea5-966c26f8ad92"
)

// code0 is extensions.code of the first error, empty without one.
func (a answerJSON) code0() string {
	if len(a.Errors) == 0 {
		return ""
	}
	code, _ := a.Errors[0].Extensions["code"].(string)
	return code
}

// organisersFields are the fields that need the scope.
func organisersFields() map[string]string {
	fields := map[string]string{}
	for name, query := range everyField() {
		switch _, field, _ := strings.Cut(name, "."); field {
		case "ballots", "auditLog", "voids", "createBallot", "updateBallot", "closeBallot", "certifyBallot", "proposeVoid", "approveVoid":
			fields[field] = query
		}
	}
	return fields
}

// Who is no organiser is told so before anything is asked of a service.
func TestOrganisersNeedTheScope(t *testing.T) {
	a := newArena(t, func(c *contest) { c.hold("song", "", nil) })
	asked := 0
	a.services.asked = func(string, string) { asked++ }
	for field, query := range organisersFields() {
		values := variables{"b": "song"}
		if got := a.ask(query, values).code0(); got != "UNAUTHENTICATED" {
			t.Errorf("%s by somebody unknown: %q", field, got)
		}
		for _, scope := range []string{"", "ballots", "ballots:administrator", "BALLOTS:ADMIN", "openid profile"} {
			if got := a.as("eve", "", scope, query, values).code0(); got != "PERMISSION_DENIED" {
				t.Errorf("%s with the scope %q: %q", field, scope, got)
			}
		}
	}
	if asked != 0 {
		t.Errorf("%d calls", asked)
	}
}

// The life of a contest, as two organisers lead it.
func TestOrganisersLeadAContest(t *testing.T) {
	a := newArena(t, func(*contest) {})
	olga := func(query string, values variables) answerJSON { return a.as("olga", "acme", organiser, query, values) }
	made := olga(`mutation($input: CreateBallotInput!) { createBallot(input: $input) {
		id title state candidates candidatePattern opensAt closesAt votesPerVoter voterPeriodSeconds limitScope visibility needsTicket
		ticketCap ticketIntervalMs hotForSeconds createdAt } }`, variables{"input": variables{
		"id": "final", "title": "The final", "state": "DRAFT", "candidates": []string{"a", "b"},
		"opensAt": "2026-11-21T20:00:00+01:00", "closesAt": "2026-11-21T21:00:00Z", "ticketCap": 500, "ticketIntervalMs": 1000,
		"rules": variables{
			"votesPerVoter": 20, "voterPeriodSeconds": 86400, "limitScope": "CANDIDATE", "visibility": "AFTER_CLOSE", "hotForSeconds": 3600,
		},
	}})
	want := map[string]any{
		"id": "final", "title": "The final", "state": "DRAFT", "candidates": []any{"a", "b"}, "candidatePattern": "",
		"opensAt": "2026-11-21T19:00:00.000Z", "closesAt": "2026-11-21T21:00:00.000Z", "votesPerVoter": 20.0, "voterPeriodSeconds": 86400.0,
		"limitScope": "CANDIDATE", "visibility": "AFTER_CLOSE", "needsTicket": true, "ticketCap": 500.0, "ticketIntervalMs": 1000.0,
		"hotForSeconds": 3600.0, "createdAt": decided,
	}
	if diff := cmp.Diff(want, made.field(t, "createBallot")); diff != "" {
		t.Fatal(diff)
	}
	changed := olga(`mutation { updateBallot(id: "final", input: {state: OPEN, title: "Final"}) { state title } }`, nil)
	if diff := cmp.Diff(map[string]any{"state": "OPEN", "title": "Final"}, changed.field(t, "updateBallot")); diff != "" {
		t.Error(diff)
	}
	early := olga(`mutation { certifyBallot(id: "final") { signed } }`, nil)
	if early.code(t) != "FAILED_PRECONDITION" || early.Errors[0].Extensions["detail"] != "the ballot is not closed" {
		t.Errorf("%+v", early)
	}
	if closed := olga(`mutation { closeBallot(id: "final") { state } }`, nil); closed.field(t, "closeBallot")["state"] != "CLOSED" {
		t.Errorf("%+v", closed)
	}
	void := olga(`mutation { proposeVoid(input: {id: "`+otherVoid+`", ballot: "final", firstAdmissionNumber: "5", lastAdmissionNumber: "9007199254740993",
		reason: "robots"}) { id ballot firstAdmissionNumber lastAdmissionNumber reason proposedBy approvedBy votesExact } }`, nil)
	if diff := cmp.Diff(map[string]any{
		"id": otherVoid, "ballot": "final", "firstAdmissionNumber": "5", "lastAdmissionNumber": "9007199254740993", "reason": "robots",
		"proposedBy": voterID("olga"), "approvedBy": nil, "votesExact": "0",
	}, void.field(t, "proposeVoid")); diff != "" {
		t.Error(diff)
	}
	const approve = `mutation { approveVoid(ballot: "final", id: "` + otherVoid + `") { approvedBy approvedAt votesExact } }`
	if own := olga(approve, nil); own.code(t) != "PERMISSION_DENIED" {
		t.Errorf("one's own: %+v", own)
	}
	approved := a.as("piet", "acme", organiser, approve, nil).field(t, "approveVoid")
	if diff := cmp.Diff(map[string]any{"approvedBy": voterID("piet"), "approvedAt": decided, "votesExact": "3"}, approved); diff != "" {
		t.Error(diff)
	}
	if voids, _ := olga(`{ voids(ballot: "final") { id } }`, nil).Data["voids"].([]any); len(voids) != 1 {
		t.Errorf("%v", voids)
	}
	certified := olga(`mutation { certifyBallot(id: "final") { ballot finalCounts { username votesExact } totalExact voidedExact certifiedAt signed } }`, nil)
	result := map[string]any{
		"ballot": "final", "finalCounts": []any{map[string]any{"username": "Final winner", "votesExact": "1099511627776"}},
		"totalExact": "1099511627776", "voidedExact": "2", "certifiedAt": decided, "signed": "a.b.c",
	}
	if diff := cmp.Diff(result, certified.field(t, "certifyBallot")); diff != "" {
		t.Error(diff)
	}
	log := olga(`{ auditLog(first: 3) { entries { id actor action ballot } next } }`, nil).field(t, "auditLog")
	if diff := cmp.Diff(map[string]any{"entries": []any{
		map[string]any{"id": "4", "actor": voterID("olga"), "action": "certify", "ballot": "final"},
		map[string]any{"id": "3", "actor": voterID("olga"), "action": "close", "ballot": "final"},
		map[string]any{"id": "2", "actor": voterID("olga"), "action": "update", "ballot": "final"},
	}, "next": "2"}, log); diff != "" {
		t.Error(diff)
	}
	rest := olga(`{ auditLog(after: "2", ballot: "final") { entries { action } next } }`, nil).field(t, "auditLog")
	if diff := cmp.Diff(map[string]any{"entries": []any{map[string]any{"action": "create"}}, "next": nil}, rest); diff != "" {
		t.Error(diff)
	}
}

func TestBallotsPageByPage(t *testing.T) {
	a := newArena(t, func(c *contest) {
		for i := range 5 {
			c.hold(fmt.Sprintf("acme.b%d", i), "", nil)
		}
		c.hold("zzz", "", nil)
	})
	var seen []any
	after := "null"
	for range 4 {
		page := a.as("olga", "acme", organiser, `{ ballots(first: 2, after: `+after+`) { entries { id } next } }`, nil).field(t, "ballots")
		entries, _ := page["entries"].([]any)
		for _, entry := range entries {
			ballot, _ := entry.(map[string]any)
			seen = append(seen, ballot["id"])
		}
		next, more := page["next"].(string)
		if !more {
			break
		}
		after = `"` + next + `"`
	}
	if diff := cmp.Diff([]any{"b0", "b1", "b2", "b3", "b4"}, seen); diff != "" {
		t.Error(diff)
	}
}

// Pages without bounds and cursors of one's own making are refused, each with what is wrong.
func TestPagesAreBounded(t *testing.T) {
	a := newArena(t, func(c *contest) { c.hold("song", "", nil) })
	for field, query := range map[string]string{
		"ballots":  `query($n: Int, $c: ID) { ballots(first: $n, after: $c) { next } }`,
		"auditLog": `query($n: Int, $c: ID) { auditLog(first: $n, after: $c) { next } }`,
		"ranking":  `query($n: Int, $c: String) { ballot(id: "song") { ranking(first: $n, after: $c) { next } } }`,
		"myVotes":  `query($n: Int, $c: String) { ballot(id: "song") { myVotes(first: $n, after: $c) { next } } }`,
	} {
		for _, first := range []int{-1, 0, 1001, 1_000_000, 1_000_000_000} {
			if got := a.as("olga", "", organiser, query, variables{"n": first}); got.code(t) != "INVALID_ARGUMENT" || !strings.Contains(got.Errors[0].Message, "每页数量") {
				t.Errorf("%s of %d: %+v", field, first, got)
			}
		}
		if got := a.as("olga", "", organiser, query, variables{"n": 1 << 40}); got.code0() == "" {
			t.Errorf("%s of 2^40: %+v", field, got)
		}
		for _, cursor := range []string{"", "bad", strings.Repeat("a", 513)} {
			if field == "ballots" && cursor == "bad" {
				cursor = "no.name" // "bad" is a good name there
			}
			if got := a.as("olga", "", organiser, query, variables{"c": cursor}); got.code0() != "INVALID_ARGUMENT" || !strings.Contains(got.Errors[0].Message, "游标") {
				t.Errorf("%s after %.20q: %+v", field, cursor, got)
			}
		}
		if got := a.as("olga", "", organiser, query, variables{"n": 100}); got.Errors != nil {
			t.Errorf("%s: %+v", field, got.Errors)
		}
	}
	for _, cursor := range []string{"0", "-1", "1e3", "99999999999999999999"} {
		got := a.as("olga", "", organiser, `query($c: ID) { auditLog(after: $c) { next } }`, variables{"c": cursor})
		if got.code0() != "INVALID_ARGUMENT" {
			t.Errorf("auditLog after %q: %+v", cursor, got)
		}
	}
}

func TestArgumentsOfOrganisersAreChecked(t *testing.T) {
	a := newArena(t, func(c *contest) { c.hold("song", "", nil) })
	calls := 0
	a.services.asked = func(string, string) { calls++ }
	for _, input := range []string{
		`{id: ""}`, `{id: "a.b"}`, `{id: "A"}`, `{id: "` + strings.Repeat("a", 65) + `"}`, `{id: "x", opensAt: "tomorrow"}`, `{id: "x", closesAt: ""}`,
		`{id: "x", closesAt: "1969-01-01T00:00:00Z"}`, `{id: "x", ticketCap: 0}`, `{id: "x", ticketCap: -1}`, `{id: "x", ticketIntervalMs: 0}`,
		`{id: "x", rules: {voterPeriodSeconds: -5}}`, `{id: "x", rules: {hotForSeconds: 0}}`,
	} {
		if got := a.as("olga", "", organiser, `mutation { createBallot(input: `+input+`) { id } }`, nil); got.code0() != "INVALID_ARGUMENT" {
			t.Errorf("%s: %+v", input, got)
		}
	}
	for _, void := range []string{
		`id: "x", firstAdmissionNumber: "1", lastAdmissionNumber: "2"`, `id: "` + otherVoid + `", firstAdmissionNumber: "0", lastAdmissionNumber: "2"`,
		`id: "` + otherVoid + `", firstAdmissionNumber: "3", lastAdmissionNumber: "2"`, `id: "` + otherVoid + `", firstAdmissionNumber: "1e3", lastAdmissionNumber: "2"`,
		`id: "` + otherVoid + `", firstAdmissionNumber: "1", lastAdmissionNumber: "9223372036854775808"`,
	} {
		query := `mutation { proposeVoid(input: {ballot: "song", reason: "x", ` + void + `}) { id } }`
		if got := a.as("olga", "", organiser, query, nil); got.code0() != "INVALID_ARGUMENT" {
			t.Errorf("%s: %+v", void, got)
		}
	}
	if calls != 0 {
		t.Errorf("%d calls", calls)
	}
}

// What a service that is away, or that refuses, means to an organiser.
func TestOrganisersLearnWhatWentWrong(t *testing.T) {
	a := newArena(t, func(c *contest) { c.hold("song", "", nil) })
	tries := 0
	for _, test := range []struct {
		err   error
		code  string
		retry bool
	}{
		{err: status.Error(codes.Unavailable, "connection refused"), code: "UNAVAILABLE", retry: true},
		{err: status.Error(codes.DeadlineExceeded, "late"), code: "UNAVAILABLE", retry: true},
		{err: status.Error(codes.Internal, "secret"), code: "INTERNAL"},
		{err: refusal(codes.InvalidArgument, statusv1.Code_CODE_INVALID_ARGUMENT, "state: expected"), code: "INVALID_ARGUMENT"},
	} {
		a.services.contest.fail = func(string) error { tries++; return test.err }
		got := a.as("olga", "", organiser, `mutation { closeBallot(id: "song") { id } }`, nil)
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if got.code(t) != test.code || got.Errors[0].Extensions["retryable"] != test.retry || strings.Contains(string(text), "secret") {
			t.Errorf("%v: %s", test.err, text)
		}
	}
	// One that comes back in time is nothing to complain about: each operation may be repeated.
	tries = 0
	a.services.contest.fail = func(string) error {
		if tries++; tries < 3 {
			return status.Error(codes.Unavailable, "starting")
		}
		return nil
	}
	if got := a.as("olga", "", organiser, `mutation { closeBallot(id: "song") { id } }`, nil); got.Errors != nil {
		t.Errorf("%+v", got.Errors)
	}
}

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
