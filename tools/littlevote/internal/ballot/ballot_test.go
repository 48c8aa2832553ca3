package ballot

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"

	"github.com/littlevote/littlevote/tools/littlevote/internal/reach"
)

// office answers with what it was asked for last; the first calls find a store away.
type office struct {
	ballotv1.UnimplementedBallotServiceServer
	away int
	made *ballotv1.Ballot
}

func (o *office) CreateBallot(_ context.Context, req *ballotv1.CreateBallotRequest) (*ballotv1.CreateBallotResponse, error) {
	o.made = req.GetBallot()
	o.made.State = ballotv1.BallotState_BALLOT_STATE_OPEN
	return &ballotv1.CreateBallotResponse{Ballot: o.made}, nil
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
	}
	if diff := cmp.Diff(want, o.made, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	text, err = run(t, "show", "final", "--json", "--data-dir", dir)
	has(t, strings.ReplaceAll(text, " ", ""), err, `"state":"BALLOT_STATE_OPEN"`, `"ticketCap":"50"`)
	text, err = run(t, "close", "final", "--data-dir", dir)
	has(t, text, err, "closed")
	text, err = run(t, "certify", "final", "--data-dir", dir)
	has(t, text, err, "Anna  2\nBob   1\n3 votes of ballot final, certified at 2026-11-18T")
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
