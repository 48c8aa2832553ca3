package ballots_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	"github.com/littlevote/littlevote/services/vote-service/internal/town"
)

const (
	draft  = ballotv1.BallotState_BALLOT_STATE_DRAFT
	opened = ballotv1.BallotState_BALLOT_STATE_OPEN
	paused = ballotv1.BallotState_BALLOT_STATE_PAUSED
)

func (w *world) update(name string, change func(*ballotv1.UpdateBallotRequest)) (*ballotv1.Ballot, error) {
	req := &ballotv1.UpdateBallotRequest{Name: name, Actor: me}
	change(req)
	answer, err := w.UpdateBallot(w.t.Context(), req)
	return answer.GetBallot(), err
}

func (w *world) mustUpdate(name string, change func(*ballotv1.UpdateBallotRequest)) *ballotv1.Ballot {
	w.t.Helper()
	b, err := w.update(name, change)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func become(state ballotv1.BallotState) func(*ballotv1.UpdateBallotRequest) {
	return func(r *ballotv1.UpdateBallotRequest) { r.State = &state }
}

func in(d time.Duration) *timestamppb.Timestamp {
	return timestamppb.New(time.Now().Add(d).Truncate(time.Millisecond))
}

// G6: when a change returns, no vote is admitted under the old rules, nor in the next epoch.
func TestG6ChangesHoldWhenTheyReturn(t *testing.T) {
	w := newWorld(t)
	w.create(&ballotv1.Ballot{Name: "new", State: draft})
	admits := func(want int, why string) {
		t.Helper()
		if _, n := w.TryAdmit("new", "A", 1); n != want {
			t.Errorf("%s: %d of 1 admitted, want %d", why, n, want)
		}
	}
	w.mustUpdate("new", func(r *ballotv1.UpdateBallotRequest) { r.Title = proto.String("x") })
	admits(0, "a draft")
	w.mustUpdate("new", become(opened))
	admits(1, "open")
	w.mustUpdate("new", become(paused))
	admits(0, "paused")
	w.mustUpdate("new", become(opened))
	admits(1, "open again")
	w.mustUpdate("new", func(r *ballotv1.UpdateBallotRequest) { r.ClosesAt = in(time.Hour) })
	admits(1, "before its time is over")
	w.mustUpdate("new", become(paused))
	w.OpenRedis()
	admits(0, "paused, in the next epoch")
}

// Redis does not answer: the row is changed, and calling again brings it to Redis, though it changes nothing any more.
func TestUpdateIsRepeatedUntilRedisKnows(t *testing.T) {
	w := newWorld(t)
	w.redis.cut = true
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	state := paused
	_, err := w.UpdateBallot(ctx, &ballotv1.UpdateBallotRequest{Name: town.Ballot, Actor: me, State: &state})
	refused(t, err, connect.CodeUnavailable, again)
	if _, n := w.TryAdmit(town.Ballot, "A", 1); n != 1 {
		t.Error("the marker was never told, and yet it is paused: this test proves nothing")
	}
	w.redis.cut = false
	w.mustUpdate(town.Ballot, become(paused))
	if _, n := w.TryAdmit(town.Ballot, "A", 1); n != 0 {
		t.Error("a paused ballot admits")
	}
	if audit := w.audit("", town.Ballot); len(audit) != 1 {
		t.Errorf("one change, repeated, left %v", audit)
	}
}

func TestADraftCanBeChangedAltogether(t *testing.T) {
	w := newWorld(t)
	w.create(&ballotv1.Ballot{Name: "acme.new", State: draft, Candidates: []string{"A", "B"}})
	closes := in(time.Hour)
	got := w.mustUpdate("acme.new", func(r *ballotv1.UpdateBallotRequest) {
		r.Title, r.TicketCap, r.TicketInterval = proto.String("New"), proto.Int64(5), durationpb.New(time.Minute)
		r.OpensAt, r.ClosesAt = in(-time.Hour), closes
		r.AddCandidates, r.RemoveCandidates = []string{"B", "C"}, []string{"A", "Z"}
		r.Rules = &ballotv1.DraftRules{
			VotesPerVoter: 2, VoterPeriod: durationpb.New(time.Hour), LimitScope: ballotv1.LimitScope_LIMIT_SCOPE_CANDIDATE,
			Visibility: ballotv1.Visibility_VISIBILITY_NEVER, Ticketless: true, HotFor: durationpb.New(time.Hour),
		}
	})
	want := &ballotv1.Ballot{
		Name: "acme.new", State: draft, Title: "New", Candidates: []string{"B", "C"}, TicketCap: 5,
		TicketInterval: durationpb.New(time.Minute), OpensAt: got.GetOpensAt(), ClosesAt: closes, VotesPerVoter: 2,
		VoterPeriod: durationpb.New(time.Hour), LimitScope: ballotv1.LimitScope_LIMIT_SCOPE_CANDIDATE,
		Visibility: ballotv1.Visibility_VISIBILITY_NEVER, Ticketless: true, HotFor: durationpb.New(time.Hour),
	}
	equal(t, got, want)
	equal(t, w.get("acme.new"), want)
	// The bounds go, the cap is that of main; what is absent stays.
	none := &timestamppb.Timestamp{}
	got = w.mustUpdate("acme.new", func(r *ballotv1.UpdateBallotRequest) {
		r.OpensAt, r.ClosesAt, r.TicketCap = none, none, proto.Int64(0)
	})
	want.OpensAt, want.ClosesAt, want.TicketCap = nil, nil, 1000
	equal(t, got, want)
}

// FAULTS.md, "Bad inputs": admin. Each refusal says why, changes nothing and leaves nothing in the audit.
func TestUpdatesThatAreRefused(t *testing.T) {
	w := newWorld(t)
	list := []string{"A", "B"}
	w.create(&ballotv1.Ballot{Name: "draft", State: draft, Candidates: list, OpensAt: in(time.Hour)})
	w.create(&ballotv1.Ballot{Name: "running", Candidates: list, ClosesAt: in(time.Hour)})
	w.create(&ballotv1.Ballot{Name: "later", Candidates: list, OpensAt: in(time.Hour)})
	w.create(&ballotv1.Ballot{Name: "any"})
	w.create(&ballotv1.Ballot{Name: "over", ClosesAt: in(-time.Second)})
	w.create(&ballotv1.Ballot{Name: "closed"})
	w.create(&ballotv1.Ballot{Name: "certified"})
	w.create(&ballotv1.Ballot{Name: "voted", State: draft, Candidates: list})
	w.Exec("INSERT INTO user_votes (ballot, username, votes, version, updated_at) VALUES ('voted', 'A', 0, 1, now())")
	for _, name := range []string{"closed", "certified"} {
		if err := w.close(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.CertifyBallot(t.Context(), &ballotv1.CertifyBallotRequest{Name: "certified", Actor: me}); err != nil {
		t.Fatal(err)
	}
	type request = ballotv1.UpdateBallotRequest
	invalid, forbidden := statusv1.Code_CODE_INVALID_ARGUMENT, statusv1.Code_CODE_FAILED_PRECONDITION
	for _, c := range []struct {
		ballot string
		change func(*request)
		code   statusv1.Code
		says   string
	}{
		{"draft", func(r *request) { r.ClosesAt = in(time.Minute) }, invalid, "closes_at: expected a time after opens_at"},
		{"running", func(r *request) { r.ClosesAt = in(-time.Minute) }, invalid, "closes_at: expected a time that has not passed"},
		{"running", func(r *request) { r.OpensAt = in(time.Minute) }, forbidden, "opens_at: the ballot has opened"},
		{"running", func(r *request) { r.RemoveCandidates = []string{"A"} }, forbidden, "remove_candidates: only a draft's"},
		{"running", func(r *request) { r.Rules = &ballotv1.DraftRules{VotesPerVoter: 1} }, forbidden, "rules: only those of a draft"},
		{"running", become(draft), invalid, "state: expected"},
		{"running", become(ballotv1.BallotState_BALLOT_STATE_CLOSED), invalid, "state: expected"},
		{"running", func(r *request) { r.Title = proto.String("a\nb") }, invalid, "title:"},
		{"running", func(r *request) { r.Title = proto.String(strings.Repeat("é", 201)) }, invalid, "title:"},
		{"running", func(r *request) { r.TicketCap = proto.Int64(-1) }, invalid, "ticket_cap:"},
		{"running", func(r *request) { r.TicketInterval = durationpb.New(0) }, invalid, "ticket_interval:"},
		{"running", func(r *request) { r.TicketInterval = durationpb.New(time.Second + 1) }, invalid, "ticket_interval:"},
		{"running", func(r *request) { r.AddCandidates = []string{" C"} }, invalid, "add_candidates[0]:"},
		{"running", func(r *request) { r.Actor = "" }, invalid, "actor:"},
		{"running", func(r *request) { r.Actor = "cli:anna " }, invalid, "actor:"},
		{"running", func(r *request) { r.Actor = strings.Repeat("a", 129) }, invalid, "actor:"},
		{"any", func(r *request) { r.AddCandidates = []string{"A"} }, forbidden, "add_candidates:"},
		{"draft", func(r *request) { r.RemoveCandidates = list }, invalid, "remove_candidates: expected one"},
		{"draft", func(r *request) { r.Rules = &ballotv1.DraftRules{CandidatePattern: "a"} }, invalid, "candidate_pattern: expected none"},
		{"draft", func(r *request) { r.Rules = &ballotv1.DraftRules{Ticketless: true} }, invalid, "votes_per_voter: expected a limit"},
		{"voted", func(r *request) { r.RemoveCandidates = []string{"A"} }, forbidden, "remove_candidates: expected none that has votes"},
		{"over", func(r *request) { r.ClosesAt = in(time.Hour) }, forbidden, "time is over"},
		{"over", become(paused), forbidden, "time is over"},
		{"closed", become(opened), forbidden, "the ballot is closed"},
		{"closed", func(r *request) { r.Title = proto.String("x") }, forbidden, "the ballot is closed"},
		{"certified", become(opened), forbidden, "the ballot is certified"},
		{"certified", func(r *request) { r.ClosesAt = in(time.Hour) }, forbidden, "the ballot is certified"},
	} {
		before := w.get(c.ballot)
		_, err := w.update(c.ballot, c.change)
		code := connect.CodeInvalidArgument
		if c.code == forbidden {
			code = connect.CodeFailedPrecondition
		}
		refused(t, err, code, none(c.code))
		if !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.ballot, err, c.says)
		}
		equal(t, w.get(c.ballot), before)
	}
	for _, e := range w.audit("", "") {
		if e.GetAction() == "update" {
			t.Errorf("a refusal is in the audit: %v", e)
		}
	}
	_, err := w.update("none", become(opened))
	refused(t, err, connect.CodeNotFound, none(statusv1.Code_CODE_BALLOT_NOT_FOUND))
	// One that opens later may open at another time still, and candidates may come until the end.
	w.mustUpdate("later", func(r *request) { r.OpensAt = in(time.Minute) })
	if b := w.mustUpdate("running", func(r *request) { r.AddCandidates = []string{"C", "A"} }); len(b.GetCandidates()) != 3 {
		t.Errorf("%v", b)
	}
}

func TestPatternsAreBounded(t *testing.T) {
	w := newWorld(t)
	for pattern, ok := range map[string]bool{
		"[A-Za-z0-9_:-]{1,64}": true, `\p{L}[\p{L} ]{0,99}`: true, "(?i)a|b": true, "": true, "a.*b": true,
		"(": false, "a)(b": false, `(a)\1`: false, "(?=a)b": false, "a{1001}": false, "((a{100}){100})": false, "a\n": false,
		strings.Repeat("a", 201): false, "((((a{9}){9}){9}){9}){9}": false,
	} {
		_, err := w.CreateBallot(t.Context(), &ballotv1.CreateBallotRequest{
			Ballot: &ballotv1.Ballot{Name: "p" + strings.Repeat("x", len(w.audit("", ""))), CandidatePattern: pattern}, Actor: me,
		})
		if (err == nil) != ok {
			t.Errorf("%q: %v", pattern, err)
		}
		if err != nil && !strings.Contains(err.Error(), "candidate_pattern:") {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

// A page is never larger than clients take, and the rest stands on the next one.
func TestPagesAreBoundedInBytes(t *testing.T) {
	w := newWorld(t)
	names := make([]string, 1000)
	for i := range names {
		names[i] = fmt.Sprintf("%0128d", i)
	}
	const all = 12
	for i := range all {
		w.create(&ballotv1.Ballot{Name: fmt.Sprintf("acme.%02d", i), Candidates: names})
	}
	seen, pages := 0, 0
	for req, more := (&ballotv1.ListBallotsRequest{Tenant: "acme"}), true; more; pages++ {
		answer, err := w.ListBallots(t.Context(), req)
		if err != nil || len(answer.GetBallots()) == 0 || proto.Size(answer) > 2<<20 {
			t.Fatalf("%d bytes, %v", proto.Size(answer), err)
		}
		seen += len(answer.GetBallots())
		req.After, more = answer.GetBallots()[len(answer.GetBallots())-1].GetName(), answer.GetMore()
	}
	if seen != all || pages != 2 {
		t.Errorf("%d ballots on %d pages", seen, pages)
	}
	audit, err := w.ListAudit(t.Context(), &ballotv1.ListAuditRequest{Tenant: "acme"})
	if err != nil || !audit.GetMore() || len(audit.GetEntries()) == 0 || proto.Size(audit) > 2<<20 {
		t.Errorf("%d bytes, %v", proto.Size(audit), err)
	}
}

func (w *world) audit(tenant, ballot string) []*ballotv1.AuditEntry {
	w.t.Helper()
	answer, err := w.ListAudit(w.t.Context(), &ballotv1.ListAuditRequest{Tenant: tenant, Ballot: ballot})
	if err != nil {
		w.t.Fatal(err)
	}
	return answer.GetEntries()
}

// Two tenants have ballots of the same name, and neither sees the other's.
func TestTwoTenants(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"acme.final", "beta.final", "acme.semi"} {
		w.create(&ballotv1.Ballot{Name: name})
	}
	list := func(req *ballotv1.ListBallotsRequest) (names []string, more bool) {
		t.Helper()
		answer, err := w.ListBallots(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range answer.GetBallots() {
			names = append(names, b.GetName())
		}
		return names, answer.GetMore()
	}
	for _, c := range []struct {
		req  *ballotv1.ListBallotsRequest
		want []string
		more bool
	}{
		{&ballotv1.ListBallotsRequest{Tenant: "acme"}, []string{"acme.final", "acme.semi"}, false},
		{&ballotv1.ListBallotsRequest{Tenant: "acme", PageSize: 1}, []string{"acme.final"}, true},
		{&ballotv1.ListBallotsRequest{Tenant: "acme", PageSize: 1, After: "acme.final"}, []string{"acme.semi"}, false},
		{&ballotv1.ListBallotsRequest{Tenant: "beta", After: "acme.final"}, []string{"beta.final"}, false},
		{&ballotv1.ListBallotsRequest{}, []string{"cast", "main", "tiny"}, false},
	} {
		got, more := list(c.req)
		if diff := cmp.Diff(c.want, got); diff != "" || more != c.more {
			t.Errorf("%v: more %v, %s", c.req, more, diff)
		}
	}
	if entries := w.audit("beta", ""); len(entries) != 1 || entries[0].GetBallot() != "beta.final" || entries[0].GetActor() != me {
		t.Errorf("%v", entries)
	}
	if entries := w.audit("beta", "acme.final"); len(entries) != 0 {
		t.Errorf("%v", entries)
	}
	for what, err := range map[string]error{
		"tenant":    second(w.ListBallots(t.Context(), &ballotv1.ListBallotsRequest{Tenant: "a.b"})),
		"page_size": second(w.ListBallots(t.Context(), &ballotv1.ListBallotsRequest{PageSize: 1001})),
		"after":     second(w.ListBallots(t.Context(), &ballotv1.ListBallotsRequest{After: "%"})),
		"before":    second(w.ListAudit(t.Context(), &ballotv1.ListAuditRequest{Before: -1})),
		"ballot":    second(w.ListAudit(t.Context(), &ballotv1.ListAuditRequest{Ballot: "A"})),
	} {
		refused(t, err, connect.CodeInvalidArgument, none(statusv1.Code_CODE_INVALID_ARGUMENT))
		if !strings.Contains(err.Error(), what+":") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
