package ballot

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/certified"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"

	"github.com/littlevote/littlevote/tools/littlevote/internal/reach"
)

// office answers with what it was asked for last; the first calls find a store away.
type office struct {
	ballotv1.UnimplementedBallotServiceServer
	away   int
	made   *ballotv1.Ballot
	actor  string
	update *ballotv1.UpdateBallotRequest
	void   *ballotv1.Void
	audit  *ballotv1.ListAuditRequest
	signed string
}

func (o *office) CreateBallot(_ context.Context, req *ballotv1.CreateBallotRequest) (*ballotv1.CreateBallotResponse, error) {
	o.made, o.actor = req.GetBallot(), req.GetActor()
	if o.made.GetState() == ballotv1.BallotState_BALLOT_STATE_UNSPECIFIED {
		o.made.State = ballotv1.BallotState_BALLOT_STATE_OPEN
	}
	return &ballotv1.CreateBallotResponse{Ballot: o.made}, nil
}

func (o *office) UpdateBallot(_ context.Context, req *ballotv1.UpdateBallotRequest) (*ballotv1.UpdateBallotResponse, error) {
	o.update = req
	if req.State != nil {
		o.made.State = req.GetState()
	}
	return &ballotv1.UpdateBallotResponse{Ballot: o.made}, nil
}

func (o *office) ListBallots(_ context.Context, req *ballotv1.ListBallotsRequest) (*ballotv1.ListBallotsResponse, error) {
	b := &ballotv1.Ballot{Name: req.GetTenant() + ".final", Title: "Grand final", State: ballotv1.BallotState_BALLOT_STATE_DRAFT}
	return &ballotv1.ListBallotsResponse{Ballots: []*ballotv1.Ballot{b}, More: true}, nil
}

func (o *office) ProposeVoid(_ context.Context, req *ballotv1.ProposeVoidRequest) (*ballotv1.ProposeVoidResponse, error) {
	o.void = &ballotv1.Void{
		Id: req.GetId(), Ballot: req.GetBallot(), FirstAdmissionNumber: req.GetFirstAdmissionNumber(),
		LastAdmissionNumber: req.GetLastAdmissionNumber(), Reason: req.GetReason(), ProposedBy: req.GetActor(),
	}
	return &ballotv1.ProposeVoidResponse{Void: o.void}, nil
}

func (o *office) ApproveVoid(_ context.Context, req *ballotv1.ApproveVoidRequest) (*ballotv1.ApproveVoidResponse, error) {
	if req.GetActor() == o.void.GetProposedBy() {
		return nil, status.Error(codes.PermissionDenied, "needs somebody else")
	}
	o.void.ApprovedBy, o.void.Votes = req.GetActor(), 7
	return &ballotv1.ApproveVoidResponse{Void: o.void}, nil
}

func (o *office) ListVoids(context.Context, *ballotv1.ListVoidsRequest) (*ballotv1.ListVoidsResponse, error) {
	return &ballotv1.ListVoidsResponse{Voids: []*ballotv1.Void{o.void}}, nil
}

func (o *office) ListAudit(_ context.Context, req *ballotv1.ListAuditRequest) (*ballotv1.ListAuditResponse, error) {
	o.audit = req
	entry := &ballotv1.AuditEntry{Id: 41, Actor: "cli:anna", Action: "close", Ballot: "acme.final", Details: `{"state":"x"}`}
	return &ballotv1.ListAuditResponse{Entries: []*ballotv1.AuditEntry{entry}}, nil
}

func (o *office) GetResult(context.Context, *ballotv1.GetResultRequest) (*ballotv1.GetResultResponse, error) {
	return &ballotv1.GetResultResponse{Result: &ballotv1.Result{Ballot: "final", Votes: 3, Voided: 1, Signed: o.signed}}, nil
}

func (o *office) GetBallot(_ context.Context, req *ballotv1.GetBallotRequest) (*ballotv1.GetBallotResponse, error) {
	if req.GetName() != o.made.GetName() {
		return nil, status.Error(codes.NotFound, "there is no such ballot")
	}
	return &ballotv1.GetBallotResponse{Ballot: o.made}, nil
}

func (o *office) CloseBallot(context.Context, *ballotv1.CloseBallotRequest) (*ballotv1.CloseBallotResponse, error) {
	if o.away--; o.away >= 0 {
		return nil, status.Error(codes.Unavailable, "still waiting for Redis")
	}
	o.made.State = ballotv1.BallotState_BALLOT_STATE_CLOSED
	return &ballotv1.CloseBallotResponse{Ballot: o.made}, nil
}

func (o *office) CertifyBallot(context.Context, *ballotv1.CertifyBallotRequest) (*ballotv1.CertifyBallotResponse, error) {
	return &ballotv1.CertifyBallotResponse{Result: &ballotv1.Result{
		Ballot: "final", Votes: 3, CertifiedAt: &timestamppb.Timestamp{Seconds: 1_795_000_000},
		Counts: []*ballotv1.ResultCount{{Candidate: "Anna", Votes: 2}, {Candidate: "Bob", Votes: 1}},
	}}, nil
}

// start serves an office and returns the data directory that says where.
func start(t *testing.T, o *office) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	ballotv1.RegisterBallotServiceServer(server, o)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	dir := t.TempDir()
	lines := "gateway=127.0.0.1:1\nvote=" + listener.Addr().String() + "\n"
	if err := os.WriteFile(filepath.Join(dir, reach.AddressFile), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	t.Setenv("LITTLEVOTE_VOTE_TARGET", "")
	cmd := Command()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func has(t *testing.T, text string, err error, lines ...string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if !strings.Contains(text, line) {
			t.Errorf("no %q in:\n%s", line, text)
		}
	}
}

func TestLifeOfABallot(t *testing.T) {
	o := &office{away: 2}
	dir := start(t, o)
	text, err := run(t, "create", "final", "--candidate", "Anna", "--candidate", "Bob, jun.", "--votes-per-voter", "3", "--ticket-cap", "50",
		"--opens-at", "2026-11-21T20:15:00.5Z", "--closes-at", "2026-11-21T22:15:00+01:00", "--data-dir", dir)
	has(t, text, err, "final", "open", "Anna, Bob, jun.", "2026-11-21T20:15:00.5Z", "2026-11-21T21:15:00Z")
	want := &ballotv1.Ballot{
		Name: "final", State: ballotv1.BallotState_BALLOT_STATE_OPEN, Candidates: []string{"Anna", "Bob, jun."}, VotesPerVoter: 3,
		TicketCap: 50, OpensAt: &timestamppb.Timestamp{Seconds: 1795292100, Nanos: 5e8}, ClosesAt: &timestamppb.Timestamp{Seconds: 1795295700},
		LimitScope: ballotv1.LimitScope_LIMIT_SCOPE_BALLOT, Visibility: ballotv1.Visibility_VISIBILITY_ALWAYS,
	}
	if diff := cmp.Diff(want, o.made, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	text, err = run(t, "show", "final", "--json", "--data-dir", dir)
	has(t, strings.ReplaceAll(text, " ", ""), err, `"state":"BALLOT_STATE_OPEN"`, `"ticketCap":"50"`)
	text, err = run(t, "close", "final", "--data-dir", dir)
	has(t, text, err, "closed")
	text, err = run(t, "certify", "final", "--data-dir", dir)
	has(t, text, err, "Anna  2\nBob   1\n3 votes of ballot final, 0 voided, certified at 2026-11-18T")
}

func TestRefusalsAreErrors(t *testing.T) {
	dir := start(t, &office{away: 1000, made: &ballotv1.Ballot{Name: "final"}})
	if _, err := run(t, "show", "other", "--data-dir", dir); err == nil || err.Error() != "there is no such ballot (NotFound)" {
		t.Errorf("%v", err)
	}
	if _, err := run(t, "create", "x", "--opens-at", "tomorrow", "--data-dir", dir); err == nil || !strings.Contains(err.Error(), "--opens-at") {
		t.Errorf("%v", err)
	}
	if _, err := run(t, "close", "final", "--wait", "300ms", "--data-dir", dir); err == nil || !strings.Contains(err.Error(), "waiting for Redis") {
		t.Errorf("%v", err)
	}
}

func TestADraftWithAllRules(t *testing.T) {
	o := &office{}
	dir := start(t, o)
	text, err := run(t, "create", "acme.final", "--draft", "--title", "Grand final", "--candidate-pattern", "[a-z]+", "--votes-per-voter", "2",
		"--voter-period", "24h", "--per-candidate", "--visibility", "after-close", "--ticketless", "--hot-for", "720h", "--ticket-interval", "5s",
		"--as", "cli:anna", "--data-dir", dir)
	has(t, text, err, "Grand final", "draft", "any name that matches [a-z]+", "2 for each candidate in 24h0m0s", "after-close", "none needed", "720h0m0s")
	if o.actor != "cli:anna" {
		t.Errorf("it was made by %q", o.actor)
	}
	// A flag changes one rule; the others, which have to be sent with it, stay.
	_, err = run(t, "update", "acme.final", "--votes-per-voter", "3", "--title", "", "--closes-at", "none", "--add-candidate", "x", "--data-dir", dir)
	if err != nil {
		t.Fatal(err)
	}
	title := ""
	want := &ballotv1.UpdateBallotRequest{
		Name: "acme.final", Actor: o.update.GetActor(), Title: &title, ClosesAt: &timestamppb.Timestamp{}, AddCandidates: []string{"x"},
		Rules: &ballotv1.DraftRules{
			CandidatePattern: "[a-z]+", VotesPerVoter: 3, VoterPeriod: durationpb.New(24 * time.Hour),
			LimitScope: ballotv1.LimitScope_LIMIT_SCOPE_CANDIDATE, Visibility: ballotv1.Visibility_VISIBILITY_AFTER_CLOSE, Ticketless: true,
			HotFor: durationpb.New(720 * time.Hour),
		},
	}
	if diff := cmp.Diff(want, o.update, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(o.update.GetActor(), "cli:") {
		t.Errorf("by %q", o.update.GetActor())
	}
	for command, state := range map[string]string{"open": "open", "pause": "paused"} {
		text, err = run(t, command, "acme.final", "--data-dir", dir)
		has(t, text, err, "state            "+state)
		if o.update.Title != nil || o.update.GetRules() != nil {
			t.Errorf("%s sends %v", command, o.update)
		}
	}
	text, err = run(t, "list", "--tenant", "acme", "--data-dir", dir)
	has(t, text, err, "acme.final  draft  no bound  no bound  Grand final", "--after acme.final")
	text, err = run(t, "audit", "acme.final", "--data-dir", dir)
	has(t, text, err, "41", "cli:anna", "close", `{"state":"x"}`)
	if o.audit.GetTenant() != "acme" || o.audit.GetBallot() != "acme.final" {
		t.Errorf("asked for %v", o.audit)
	}
	if _, err := run(t, "create", "x", "--visibility", "sometimes", "--data-dir", dir); err == nil || !strings.Contains(err.Error(), "--visibility") {
		t.Errorf("%v", err)
	}
}

func TestVoidsNeedTwo(t *testing.T) {
	dir := start(t, &office{})
	text, err := run(t, "void", "propose", "final", "--first", "3", "--last", "9", "--reason", "bots", "--as", "cli:anna", "--data-dir", dir)
	has(t, text, err, "3 to 9", "bots", "cli:anna", "not yet")
	_, id, _ := strings.Cut(strings.Split(text, "\n")[0], "  ")
	id = strings.TrimSpace(id)
	if _, err := run(t, "void", "approve", "final", id, "--as", "cli:anna", "--data-dir", dir); err == nil || !strings.Contains(err.Error(), "PermissionDenied") {
		t.Errorf("%v", err)
	}
	text, err = run(t, "void", "approve", "final", id, "--as", "cli:bob", "--data-dir", dir)
	has(t, text, err, id, "cli:bob", "votes taken out")
	text, err = run(t, "voids", "final", "--data-dir", dir)
	has(t, text, err, id, "3-9", "7 votes, approved by cli:bob")
	text, err = run(t, "voids", "final", "--json", "--data-dir", dir)
	has(t, strings.ReplaceAll(text, " ", ""), err, `"voids":[{`, `"votes":"7"`)
	if _, err := run(t, "void", "propose", "final", "--first", "3", "--data-dir", dir); err == nil {
		t.Error("a void without a reason was proposed")
	}
}

// A result can be checked by anybody who has the public key, from what the commands print; and nothing else passes.
func TestVerifyNeedsNobody(t *testing.T) {
	private, public, err := certified.MakeKey()
	if err != nil {
		t.Fatal(err)
	}
	keys := t.TempDir()
	keyFile, publicFile := filepath.Join(keys, "key.pem"), filepath.Join(keys, reach.ResultKeyFile)
	if err := errors.Join(os.WriteFile(keyFile, private, 0o600), os.WriteFile(publicFile, public, 0o600)); err != nil {
		t.Fatal(err)
	}
	signer, err := certified.OpenSigner(keyFile, false)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(&certified.Document{
		Ballot: "final", Votes: 3, Voided: 1, Counts: []certified.Count{{Candidate: "Anna", Votes: 3}},
		Voids: []certified.Void{{First: 1, Last: 2, Reason: "bots", Votes: 1}}, CertifiedAt: time.Unix(1_795_000_000, 0).UTC(),
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := start(t, &office{signed: signed})
	for _, how := range []string{"--signed", "--json"} {
		text, err := run(t, "result", "final", how, "--data-dir", dir)
		has(t, text, err, signed)
		file := filepath.Join(t.TempDir(), "result")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		text, err = run(t, "verify", file, "--public-key", publicFile)
		has(t, text, err, "Anna  3", "1 votes, admitted as 1 to 2: bots", "The signature is right: 3 votes of ballot final, 1 voided, certified at 2026-11-18T")
		text, err = run(t, "verify", file, "--data-dir", keys, "--json")
		has(t, text, err, `"ballot":"final"`)
		if text, err := run(t, "verify", file, "--dev"); !errors.Is(err, certified.ErrForged) || strings.Contains(text, "right") {
			t.Errorf("with another key: %s, %v", text, err)
		}
	}
}
