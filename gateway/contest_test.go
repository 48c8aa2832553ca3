package gateway

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/littlevote/littlevote/gateway/internal/identity"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
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
