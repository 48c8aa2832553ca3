package gateway

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/gateway/internal/identity"
	"github.com/littlevote/littlevote/gateway/internal/identity/identitytest"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// contest keeps ballots, voids and the audit log as the vote-service does, by full names.
type contest struct {
	ballotv1.UnimplementedBallotServiceServer

	mu      sync.Mutex
	ballots map[string]*ballotv1.Ballot
	voids   map[string]*ballotv1.Void
	audit   []*ballotv1.AuditEntry
	fail    func(method string) error // nil: nothing fails
}

func newContest() *contest {
	return &contest{ballots: map[string]*ballotv1.Ballot{}, voids: map[string]*ballotv1.Void{}}
}

// hold adds an open ballot.
func (c *contest) hold(name, title string, change func(*ballotv1.Ballot)) {
	ballot := &ballotv1.Ballot{
		Name: name, Title: title, State: ballotv1.BallotState_BALLOT_STATE_OPEN, Candidates: []string{"a", "b"},
		Visibility: ballotv1.Visibility_VISIBILITY_ALWAYS, CreatedAt: timestamppb.New(decidedAt()),
	}
	if change != nil {
		change(ballot)
	}
	c.ballots[name] = ballot
}

// refusal is an RPC error as the services make them.
func refusal(code codes.Code, detail statusv1.Code, text string) error {
	made, err := status.New(code, text).WithDetails(&statusv1.ErrorDetail{Code: detail, Outcome: statusv1.Outcome_OUTCOME_NONE})
	if err != nil {
		return err
	}
	return made.Err()
}

func (c *contest) find(method, name string) (*ballotv1.Ballot, error) {
	if c.fail != nil {
		if err := c.fail(method); err != nil {
			return nil, err
		}
	}
	if found := c.ballots[name]; found != nil {
		return found, nil
	}
	return nil, refusal(codes.NotFound, statusv1.Code_CODE_BALLOT_NOT_FOUND, "no such ballot")
}

func (c *contest) note(ballot, actor, action string) {
	c.audit = append(c.audit, &ballotv1.AuditEntry{
		Id: int64(len(c.audit) + 1), At: timestamppb.New(decidedAt()), Actor: actor, Action: action, Ballot: ballot, Details: "{}",
	})
}

func (c *contest) CreateBallot(_ context.Context, r *ballotv1.CreateBallotRequest) (*ballotv1.CreateBallotResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	made, _ := proto.Clone(r.GetBallot()).(*ballotv1.Ballot)
	made.CreatedAt = timestamppb.New(decidedAt())
	if known := c.ballots[made.GetName()]; known != nil && !proto.Equal(known, made) {
		return nil, refusal(codes.AlreadyExists, statusv1.Code_CODE_ALREADY_EXISTS, "another ballot of this name")
	}
	c.ballots[made.GetName()] = made
	c.note(made.GetName(), r.GetActor(), "create")
	return &ballotv1.CreateBallotResponse{Ballot: made}, nil
}

func (c *contest) GetBallot(_ context.Context, r *ballotv1.GetBallotRequest) (*ballotv1.GetBallotResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, err := c.find("GetBallot", r.GetName())
	return &ballotv1.GetBallotResponse{Ballot: found}, err
}

func (c *contest) ListBallots(_ context.Context, r *ballotv1.ListBallotsRequest) (*ballotv1.ListBallotsResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := &ballotv1.ListBallotsResponse{}
	for name, ballot := range c.ballots {
		if tenant, _, _ := cut(name); tenant == r.GetTenant() && name > r.GetAfter() {
			list.Ballots = append(list.Ballots, ballot)
		}
	}
	slices.SortFunc(list.Ballots, func(a, b *ballotv1.Ballot) int { return cmp.Compare(a.GetName(), b.GetName()) })
	if len(list.GetBallots()) > int(r.GetPageSize()) {
		list.Ballots, list.More = list.GetBallots()[:r.GetPageSize()], true
	}
	return list, nil
}

// cut returns tenant and id of a full name.
func cut(name string) (string, string, bool) {
	if tenant, id, ok := strings.Cut(name, "."); ok {
		return tenant, id, true
	}
	return "", name, false
}

func (c *contest) UpdateBallot(_ context.Context, r *ballotv1.UpdateBallotRequest) (*ballotv1.UpdateBallotResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, err := c.find("UpdateBallot", r.GetName())
	if err != nil {
		return nil, err
	}
	if r.Title != nil {
		found.Title = r.GetTitle()
	}
	if r.State != nil {
		found.State = r.GetState()
	}
	c.note(r.GetName(), r.GetActor(), "update")
	return &ballotv1.UpdateBallotResponse{Ballot: found}, nil
}

func (c *contest) CloseBallot(_ context.Context, r *ballotv1.CloseBallotRequest) (*ballotv1.CloseBallotResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, err := c.find("CloseBallot", r.GetName())
	if err != nil {
		return nil, err
	}
	found.State = ballotv1.BallotState_BALLOT_STATE_CLOSED
	c.note(r.GetName(), r.GetActor(), "close")
	return &ballotv1.CloseBallotResponse{Ballot: found}, nil
}

func (c *contest) CertifyBallot(_ context.Context, r *ballotv1.CertifyBallotRequest) (*ballotv1.CertifyBallotResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, err := c.find("CertifyBallot", r.GetName())
	if err != nil {
		return nil, err
	}
	if found.GetState() == ballotv1.BallotState_BALLOT_STATE_OPEN {
		return nil, refusal(codes.FailedPrecondition, statusv1.Code_CODE_FAILED_PRECONDITION, "the ballot is not closed")
	}
	found.State = ballotv1.BallotState_BALLOT_STATE_CERTIFIED
	c.note(r.GetName(), r.GetActor(), "certify")
	return &ballotv1.CertifyBallotResponse{Result: result(found)}, nil
}

func (c *contest) GetResult(_ context.Context, r *ballotv1.GetResultRequest) (*ballotv1.GetResultResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, err := c.find("GetResult", r.GetName())
	if err != nil {
		return nil, err
	}
	return &ballotv1.GetResultResponse{Result: result(found)}, nil
}

func result(of *ballotv1.Ballot) *ballotv1.Result {
	return &ballotv1.Result{
		Ballot: of.GetName(), Counts: []*ballotv1.ResultCount{{Candidate: of.GetTitle() + " winner", Votes: 1 << 40}}, Votes: 1 << 40, Voided: 2,
		CertifiedAt: timestamppb.New(decidedAt()), Signed: "a.b.c",
	}
}

func (c *contest) ProposeVoid(_ context.Context, r *ballotv1.ProposeVoidRequest) (*ballotv1.ProposeVoidResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.find("ProposeVoid", r.GetBallot()); err != nil {
		return nil, err
	}
	void := &ballotv1.Void{
		Id: r.GetId(), Ballot: r.GetBallot(), FirstAdmissionNumber: r.GetFirstAdmissionNumber(), LastAdmissionNumber: r.GetLastAdmissionNumber(),
		Reason: r.GetReason(), ProposedBy: r.GetActor(), ProposedAt: timestamppb.New(decidedAt()),
	}
	c.voids[r.GetId()] = void
	return &ballotv1.ProposeVoidResponse{Void: void}, nil
}

func (c *contest) ApproveVoid(_ context.Context, r *ballotv1.ApproveVoidRequest) (*ballotv1.ApproveVoidResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	void := c.voids[r.GetId()]
	if void == nil || void.GetBallot() != r.GetBallot() {
		return nil, refusal(codes.NotFound, statusv1.Code_CODE_NOT_FOUND, "no such void")
	}
	if void.GetProposedBy() == r.GetActor() {
		return nil, refusal(codes.PermissionDenied, statusv1.Code_CODE_PERMISSION_DENIED, "another actor must approve")
	}
	void.ApprovedBy, void.ApprovedAt, void.Votes = r.GetActor(), timestamppb.New(decidedAt()), 3
	return &ballotv1.ApproveVoidResponse{Void: void}, nil
}

func (c *contest) ListVoids(_ context.Context, r *ballotv1.ListVoidsRequest) (*ballotv1.ListVoidsResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := &ballotv1.ListVoidsResponse{}
	for _, void := range c.voids {
		if void.GetBallot() == r.GetBallot() {
			list.Voids = append(list.Voids, void)
		}
	}
	return list, nil
}

func (c *contest) ListAudit(_ context.Context, r *ballotv1.ListAuditRequest) (*ballotv1.ListAuditResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	page := &ballotv1.ListAuditResponse{}
	for _, entry := range slices.Backward(c.audit) {
		tenant, _, _ := cut(entry.GetBallot())
		of := r.GetBallot() == "" || entry.GetBallot() == r.GetBallot()
		if tenant != r.GetTenant() || !of || r.GetBefore() > 0 && entry.GetId() >= r.GetBefore() {
			continue
		}
		if len(page.GetEntries()) == int(r.GetPageSize()) {
			page.More = true
			break
		}
		page.Entries = append(page.Entries, entry)
	}
	return page, nil
}

// GetRanking knows a and b; "bad" is no cursor.
func (s *services) GetRanking(_ context.Context, r *queryv1.GetRankingRequest) (*queryv1.GetRankingResponse, error) {
	if code := s.visible(r.GetBallot(), r.GetViewer()); code != statusv1.Code_CODE_OK {
		return nil, refusal(codes.PermissionDenied, code, "hidden")
	}
	if r.GetAfter() == "bad" {
		return nil, refusal(codes.InvalidArgument, statusv1.Code_CODE_INVALID_ARGUMENT, "after")
	}
	page := &queryv1.GetRankingResponse{Candidates: 2, Votes: 1 << 40, AsOf: timestamppb.New(decidedAt())}
	for i, name := range []string{"a", "b"} {
		page.Ranks = append(page.Ranks, &queryv1.Rank{Rank: int64(i) + 1, Count: &queryv1.Count{Candidate: name, Votes: int64(9 - i)}})
	}
	if r.GetAfter() == "" && r.GetPageSize() == 1 {
		page.Ranks, page.Next = page.GetRanks()[:1], "second"
	}
	return page, nil
}

// visible is what the query-service says of a viewer.
func (s *services) visible(ballot string, viewer *queryv1.Viewer) statusv1.Code {
	s.contest.mu.Lock()
	defer s.contest.mu.Unlock()
	of := s.contest.ballots[ballot]
	closed := of.GetState() == ballotv1.BallotState_BALLOT_STATE_CLOSED || of.GetState() == ballotv1.BallotState_BALLOT_STATE_CERTIFIED
	var sees bool
	switch of.GetVisibility() {
	case ballotv1.Visibility_VISIBILITY_AFTER_VOTE:
		sees = closed || viewer.GetVoter() == voterID("voted")
	case ballotv1.Visibility_VISIBILITY_AFTER_CLOSE:
		sees = closed
	case ballotv1.Visibility_VISIBILITY_NEVER:
		sees = of.GetState() == ballotv1.BallotState_BALLOT_STATE_CERTIFIED && viewer.GetOrganiser()
	default:
		sees = true
	}
	switch {
	case of == nil:
		return statusv1.Code_CODE_BALLOT_NOT_FOUND
	case !sees:
		return statusv1.Code_CODE_RESULTS_HIDDEN
	default:
		return statusv1.Code_CODE_OK
	}
}

func (s *services) ListVotes(_ context.Context, r *queryv1.ListVotesRequest) (*queryv1.ListVotesResponse, error) {
	if r.GetAfter() == "bad" {
		return nil, refusal(codes.InvalidArgument, statusv1.Code_CODE_INVALID_ARGUMENT, "after")
	}
	return &queryv1.ListVotesResponse{Votes: []*queryv1.VoterVote{
		{VoteId: aVote, Voter: r.GetVoter(), Candidate: "a", VotedAt: timestamppb.New(decidedAt())},
	}, Next: "more"}, nil
}

func (s *services) RetractVote(_ context.Context, r *votev1.RetractVoteRequest) (*votev1.RetractVoteResponse, error) {
	verdict := counted(&votev1.Vote{IdempotencyKey: r.GetIdempotencyKey()})
	if r.GetVoter() != voterID("voted") || r.GetVoteId() != aVote {
		verdict = refusedWith(statusv1.Code_CODE_VOTE_NOT_FOUND)
	}
	return &votev1.RetractVoteResponse{Verdict: verdict}, nil
}

// arena is a gateway before a contest, and the issuer of its callers' tokens.
type arena struct {
	*running
	services *services
	issuer   *identitytest.Issuer
}

// newArena has the ballots that are held before it starts.
func newArena(t *testing.T, held func(*contest)) *arena {
	t.Helper()
	behind, issuer := newServices(t), identitytest.New(t)
	behind.contest = newContest()
	held(behind.contest)
	behind.tally = func(read *queryv1.TallyRead) *queryv1.Tally {
		if code := behind.visible(read.GetBallot(), read.GetViewer()); code != statusv1.Code_CODE_OK {
			return &queryv1.Tally{Code: code, Ballot: read.GetBallot()}
		}
		return tallyOf(&queryv1.TallyRead{Ballot: "x", Candidates: []string{"a"}})
	}
	behind.status = func(r *votev1.GetVoteStatusRequest) (*votev1.GetVoteStatusResponse, error) {
		return &votev1.GetVoteStatusResponse{
			State: votev1.VoteState_VOTE_STATE_VOID, VoteId: r.GetVoteId(), AdmittedAt: timestamppb.New(decidedAt()), AdmissionNumber: 1 << 40,
		}, nil
	}
	cfg := behind.config(t)
	cfg.Auth.Issuers, cfg.Auth.JWKSFile = []string{"test-issuer"}, issuer.File()
	issuer.URL = "test-issuer"
	return &arena{running: start(t, cfg), services: behind, issuer: issuer}
}

// voterID is the id of a subject of the arena's issuer.
func voterID(subject string) string { return identity.VoterID("test-issuer", subject) }

// as asks as somebody with a token.
func (a *arena) as(subject, tenant, scope, query string, values variables) answerJSON {
	a.t.Helper()
	return a.ask(query, values, "Authorization", "Bearer "+a.issuer.Token(subject, tenant, scope))
}
