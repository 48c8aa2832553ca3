package ballots_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/certified"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	"github.com/littlevote/littlevote/services/vote-service/internal/town"
)

func (w *world) propose(first, last int64) *ballotv1.Void {
	w.t.Helper()
	answer, err := w.ProposeVoid(w.t.Context(), &ballotv1.ProposeVoidRequest{
		Ballot: town.Ballot, FirstAdmissionNumber: first, LastAdmissionNumber: last, Reason: "bots", Actor: me, Id: uuid.NewString(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return answer.GetVoid()
}

func (w *world) approve(within time.Duration, id, actor string) (*ballotv1.Void, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), within)
	defer cancel()
	answer, err := w.ApproveVoid(ctx, &ballotv1.ApproveVoidRequest{Ballot: town.Ballot, Id: id, Actor: actor})
	return answer.GetVoid(), err
}

const other = "cli:other"

func (w *world) mustApprove(id string) *ballotv1.Void {
	w.t.Helper()
	v, err := w.approve(20*time.Second, id, other)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// shows wants the counts in the Redis of the open epoch.
func (w *world) shows(want map[string]int64) {
	w.t.Helper()
	cut, err := w.Redis.Cut(w.t.Context(), w.Ledger().Fence(), town.Ballot)
	if err != nil {
		w.t.Fatal(err)
	}
	if diff := cmp.Diff(want, cut.Tally); diff != "" {
		w.t.Errorf("Redis shows (-want +got):\n%s", diff)
	}
}

// When the approval returns, every count shows it; the result says so, and its signature holds.
func TestVoidsFromProposalToResult(t *testing.T) {
	w := newWorld(t)
	w.Vote(town.Ballot, "A", 3) // 1 to 3
	w.Vote(town.Ballot, "B", 2) // 4, 5
	w.mustClose()
	v := w.propose(3, 4)
	if v.GetProposedBy() != me || v.GetApprovedAt() != nil || v.GetVotes() != 0 {
		t.Errorf("%v", v)
	}
	w.shows(map[string]int64{"A": 3, "B": 2})
	for range 2 {
		if v = w.mustApprove(v.GetId()); v.GetVotes() != 2 || v.GetApprovedBy() != other || v.GetApprovedAt() == nil {
			t.Errorf("%v", v)
		}
		w.shows(map[string]int64{"A": 2, "B": 1})
	}
	if v := w.mustApprove(w.propose(1, 5).GetId()); v.GetVotes() != 3 {
		t.Errorf("%v", v)
	}
	w.shows(map[string]int64{"A": 0, "B": 0})
	w.propose(1, 1) // never approved
	w.OpenRedis()
	w.shows(map[string]int64{"A": 0, "B": 0})

	result, err := w.certify(20 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	hasCounts(t, result, map[string]int64{"A": 0, "B": 0})
	if result.GetVotes() != 0 || result.GetVoided() != 5 {
		t.Errorf("%v", result)
	}
	document, err := certified.Verify(result.GetSigned(), w.Signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	if document.Ballot != town.Ballot || document.Voided != 5 || len(document.Voids) != 2 || document.Voids[0].Reason != "bots" ||
		document.Voids[0].ApprovedBy != other || !document.CertifiedAt.Equal(result.GetCertifiedAt().AsTime()) ||
		document.Counts[0] != (certified.Count{Candidate: "A"}) {
		t.Errorf("%+v", document)
	}
	listed, err := w.ListVoids(t.Context(), &ballotv1.ListVoidsRequest{Ballot: town.Ballot})
	if err != nil || len(listed.GetVoids()) != 3 || listed.GetVoids()[0].GetId() != v.GetId() {
		t.Errorf("%v, %v", listed, err)
	}
	var actions []string
	for _, e := range w.audit("", town.Ballot) {
		actions = append(actions, e.GetAction())
	}
	want := []string{"certify", "propose-void", "approve-void", "propose-void", "approve-void", "propose-void", "close"}
	if diff := cmp.Diff(want, actions); diff != "" {
		t.Errorf("each deed leaves one entry: %s", diff)
	}
}

// FAULTS.md, "Bad inputs": self-approval, and what else is refused.
func TestVoidsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	w.Vote(town.Ballot, "A", 2)
	open := func(change func(*ballotv1.ProposeVoidRequest)) error {
		req := &ballotv1.ProposeVoidRequest{
			Ballot: town.Ballot, FirstAdmissionNumber: 1, LastAdmissionNumber: 2, Reason: "bots", Actor: me, Id: uuid.NewString(),
		}
		change(req)
		_, err := w.ProposeVoid(t.Context(), req)
		return err
	}
	same := func(*ballotv1.ProposeVoidRequest) {}
	refused(t, open(same), connect.CodeFailedPrecondition, none(statusv1.Code_CODE_FAILED_PRECONDITION))
	w.mustClose()
	for field, change := range map[string]func(*ballotv1.ProposeVoidRequest){
		"ballot":                 func(r *ballotv1.ProposeVoidRequest) { r.Ballot = "a.b.c" },
		"first_admission_number": func(r *ballotv1.ProposeVoidRequest) { r.FirstAdmissionNumber = 0 },
		"last_admission_number":  func(r *ballotv1.ProposeVoidRequest) { r.FirstAdmissionNumber = 3 },
		"reason":                 func(r *ballotv1.ProposeVoidRequest) { r.Reason = "" },
		"actor":                  func(r *ballotv1.ProposeVoidRequest) { r.Actor = "a\nb" },
		"id":                     func(r *ballotv1.ProposeVoidRequest) { r.Id = "1" },
	} {
		err := open(change)
		refused(t, err, connect.CodeInvalidArgument, none(statusv1.Code_CODE_INVALID_ARGUMENT))
		if !strings.Contains(err.Error(), field+":") {
			t.Errorf("%s: %v", field, err)
		}
	}
	v := w.propose(1, 2)
	err := open(func(r *ballotv1.ProposeVoidRequest) { r.Id, r.Ballot = v.GetId(), "cast" })
	refused(t, err, connect.CodeFailedPrecondition, none(statusv1.Code_CODE_FAILED_PRECONDITION)) // it is open
	err = open(func(r *ballotv1.ProposeVoidRequest) { r.Id, r.Reason = v.GetId(), "another" })
	refused(t, err, connect.CodeAlreadyExists, none(statusv1.Code_CODE_ALREADY_EXISTS))

	_, err = w.approve(20*time.Second, v.GetId(), me)
	refused(t, err, connect.CodePermissionDenied, none(statusv1.Code_CODE_PERMISSION_DENIED))
	_, err = w.approve(20*time.Second, uuid.NewString(), other)
	refused(t, err, connect.CodeNotFound, none(statusv1.Code_CODE_NOT_FOUND))
	_, err = w.approve(20*time.Second, "x", other)
	refused(t, err, connect.CodeInvalidArgument, none(statusv1.Code_CODE_INVALID_ARGUMENT))
	_, err = w.GetResult(t.Context(), &ballotv1.GetResultRequest{Name: town.Ballot})
	refused(t, err, connect.CodeFailedPrecondition, none(statusv1.Code_CODE_FAILED_PRECONDITION))
	result, err := w.certify(20 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.approve(20*time.Second, v.GetId(), other)
	refused(t, err, connect.CodeFailedPrecondition, none(statusv1.Code_CODE_FAILED_PRECONDITION))
	refused(t, open(same), connect.CodeFailedPrecondition, none(statusv1.Code_CODE_FAILED_PRECONDITION))
	again, err := w.GetResult(t.Context(), &ballotv1.GetResultRequest{Name: town.Ballot})
	if err != nil || again.GetResult().GetSigned() != result.GetSigned() || again.GetResult().GetVotes() != 2 {
		t.Errorf("%v, %v", again, err)
	}
	for _, err := range []error{
		second(w.ListVoids(t.Context(), &ballotv1.ListVoidsRequest{Ballot: "none"})),
		second(w.GetResult(t.Context(), &ballotv1.GetResultRequest{Name: "none"})),
	} {
		refused(t, err, connect.CodeNotFound, none(statusv1.Code_CODE_BALLOT_NOT_FOUND))
	}
}

// What was admitted and is still on its way belongs to the range as well: the approval waits for it.
func TestVoidsWaitForWhatIsOnItsWay(t *testing.T) {
	w := newWorld(t)
	w.Vote(town.Ballot, "A", 1)
	left := w.Admit(town.Ballot, "A", 2)
	w.mustClose()
	v := w.propose(1, 3)
	_, err := w.approve(500*time.Millisecond, v.GetId(), other)
	refused(t, err, connect.CodeUnavailable, again)
	left.Append().Settle()
	_, err = w.approve(500*time.Millisecond, v.GetId(), other)
	refused(t, err, connect.CodeUnavailable, again)
	w.Persist()
	if v := w.mustApprove(v.GetId()); v.GetVotes() != 3 {
		t.Errorf("%v", v)
	}
	w.shows(map[string]int64{"A": 0})
}

// The one who approves dies between Postgres and Redis: calling again brings it to Redis.
func TestVoidsAreShownByCallingAgain(t *testing.T) {
	w := newWorld(t)
	w.Vote(town.Ballot, "A", 3)
	w.mustClose()
	v := w.propose(2, 2)
	w.redis.mute = true
	_, err := w.approve(time.Second, v.GetId(), other)
	refused(t, err, connect.CodeUnavailable, again)
	w.shows(map[string]int64{"A": 3})
	w.redis.mute = false
	if v := w.mustApprove(v.GetId()); v.GetVotes() != 1 {
		t.Errorf("%v", v)
	}
	w.shows(map[string]int64{"A": 2})
	if n := len(w.audit("", town.Ballot)); n != 3 {
		t.Errorf("%d entries: the approval left two", n)
	}
}

// In an epoch in Postgres its counts are what is read. The next one in Redis begins with them.
func TestVoidsInPostgres(t *testing.T) {
	w := newWorld(t)
	w.Vote(town.Ballot, "A", 3)
	w.OpenPostgres()
	w.redis.cut = true
	w.mustClose()
	if v := w.mustApprove(w.propose(1, 2).GetId()); v.GetVotes() != 2 {
		t.Errorf("%v", v)
	}
	w.redis.cut = false
	w.OpenRedis()
	w.shows(map[string]int64{"A": 1})
	result, err := w.certify(20 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	hasCounts(t, result, map[string]int64{"A": 1})
}
