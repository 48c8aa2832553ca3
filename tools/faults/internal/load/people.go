package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/scope"
	"github.com/littlevote/littlevote/tools/internal/system"
	"github.com/littlevote/littlevote/tools/internal/voter"
)

// LimitedBallot is where each person has one vote. Another tenant has a ballot of the same id, where the same people vote.
const (
	LimitedBallot = "limited"
	OtherTenant   = "acme"
)

const (
	persons      = 10 // shared by all callers, so that two vote as the same person at the same time
	callers      = 3
	callTimeout  = 8 * time.Second
	openPatience = 30 * time.Second
)

// People are authenticated voters of a ballot that gives each of them one vote. They vote, change their minds, take it back and
// vote again: by gRPC at the vote-services, as another backend does, and by GraphQL with tokens, the same vote by either way.
type People struct {
	History *checker.History

	rpc      []votev1.VoteServiceClient
	gateways []*voter.Client
	tokens   map[[2]string]string // by tenant and voter's id
	stopped  chan struct{}
	once     sync.Once
	callers  sync.WaitGroup

	mu       sync.Mutex
	standing map[[2]string]checker.Attempt // by ballot and voter, a vote that was acknowledged and may count
}

// Invite makes the ballots, and lets people vote on them until they are stopped.
func Invite(t scope.Scope, s *system.System, seed uint64) *People {
	t.Helper()
	p := &People{
		History: &checker.History{}, stopped: make(chan struct{}), gateways: s.Gateways,
		tokens: map[[2]string]string{}, standing: map[[2]string]checker.Attempt{},
	}
	for i, service := range s.Services(system.Vote) {
		conn, err := grpc.NewClient(service.Address, grpc.WithTransportCredentials(s.Credentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		p.rpc = append(p.rpc, votev1.NewVoteServiceClient(conn))
		if i == 0 {
			for _, tenant := range []string{"", OtherTenant} {
				makeBallot(t, ballotv1.NewBallotServiceClient(conn), fullName(tenant, LimitedBallot))
			}
		}
	}
	for i := range persons {
		for _, tenant := range []string{"", OtherTenant} {
			p.tokens[[2]string{tenant, system.VoterOf(person(i))}] = s.Token(t, person(i), tenant)
		}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	for i := range callers {
		random := rand.New(rand.NewPCG(seed, uint64(1000+i)))
		p.callers.Go(func() {
			for !p.over() {
				p.turn(ctx, random)
				p.pause(time.Duration(random.Int64N(int64(2 * refusedPause))))
			}
		})
	}
	t.Cleanup(func() {
		cancel() // only where something failed before they were stopped
		p.Stop()
	})
	return p
}

func person(n int) string { return fmt.Sprintf("person-%d", n) }

func fullName(tenant, id string) string {
	if tenant == "" {
		return id
	}
	return tenant + "." + id
}

// inTenant is the tenant of a ballot, and its id there.
func inTenant(ballot string) (tenant, id string) {
	if tenant, id, ok := strings.Cut(ballot, "."); ok {
		return tenant, id
	}
	return "", ballot
}

func makeBallot(t scope.Scope, organisers ballotv1.BallotServiceClient, name string) {
	t.Helper()
	scope.Eventually(t, openPatience, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
		defer cancel()
		_, err := organisers.CreateBallot(ctx, &ballotv1.CreateBallotRequest{
			Ballot: &ballotv1.Ballot{Name: name, Candidates: []string{"no", "yes"}, VotesPerVoter: 1},
			Actor:  "cli:faults",
		})
		return err
	})
}

func (p *People) over() bool {
	select {
	case <-p.stopped:
		return true
	default:
		return false
	}
}

func (p *People) pause(d time.Duration) {
	select {
	case <-p.stopped:
	case <-time.After(d):
	}
}

// Stop lets everybody finish the call that is on its way.
func (p *People) Stop() {
	p.once.Do(func() { close(p.stopped) })
	p.callers.Wait()
}

// turn is one person's vote, and often what they think of it afterwards. Some vote under the same key in the other tenant, too.
func (p *People) turn(ctx context.Context, random *rand.Rand) {
	ballot, other := LimitedBallot, fullName(OtherTenant, LimitedBallot)
	if random.IntN(3) == 0 {
		ballot, other = other, ballot
	}
	vote := checker.Attempt{
		ID: voter.NewKey(), Keyed: true, Ballot: ballot, Names: choice(random), Voter: system.VoterOf(person(random.IntN(persons))),
	}
	outcome := p.insist(ctx, random, vote)
	if random.IntN(4) == 0 {
		twin := vote
		twin.Ballot = other
		p.insist(ctx, random, twin)
	}
	if outcome == checker.Counted && random.IntN(4) == 0 {
		return
	}
	p.mu.Lock()
	old, ok := p.standing[[2]string{vote.Ballot, vote.Voter}]
	p.mu.Unlock()
	if !ok {
		return
	}
	then := old
	then.ID, then.Replaces = voter.NewKey(), ""
	if random.IntN(2) == 0 {
		then.Replaces, then.Names = old.ID, choice(random)
	} else {
		then.Retracts = old.ID
	}
	p.insist(ctx, random, then)
}

func choice(random *rand.Rand) []string { return []string{[]string{"no", "yes"}[random.IntN(2)]} }

// insist sends it again under its key while nobody knows its end, for some tries.
func (p *People) insist(ctx context.Context, random *rand.Rand, a checker.Attempt) checker.Outcome {
	for range tries {
		if outcome := p.send(ctx, random.IntN(len(p.rpc)+len(p.gateways)), a); outcome != checker.Unknown {
			return outcome
		}
		p.pause(refusedPause)
	}
	return checker.Unknown
}

// send sends it once, by one of the ways that there are, and writes down what came of it.
func (p *People) send(ctx context.Context, way int, a checker.Attempt) checker.Outcome {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	a.Sent = time.Now()
	if way %= len(p.rpc) + len(p.gateways); way < len(p.rpc) {
		a.Outcome, a.Code = p.byRPC(ctx, p.rpc[way], a)
	} else {
		tenant, id := inTenant(a.Ballot)
		a.Outcome, a.Code = byGraphQL(ctx, p.gateways[way-len(p.rpc)].As(p.tokens[[2]string{tenant, a.Voter}]), id, a)
	}
	a.Answered = time.Now()
	p.History.Add(a)
	p.remember(a)
	return a.Outcome
}

// remember keeps which vote of a person may count.
func (p *People) remember(a checker.Attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := [2]string{a.Ballot, a.Voter}
	switch {
	case a.Retracts != "" && a.Outcome != checker.Unknown && p.standing[k].ID == a.Retracts:
		delete(p.standing, k)
	case a.Replaces != "" && a.Outcome == checker.None && a.Code == "VOTE_NOT_FOUND" && p.standing[k].ID == a.Replaces:
		delete(p.standing, k)
	case a.Retracts == "" && a.Outcome == checker.Counted:
		p.standing[k] = a
	}
}

func byGraphQL(ctx context.Context, gateway *voter.Client, ballot string, a checker.Attempt) (checker.Outcome, string) {
	var answer voter.Answer
	var err error
	switch {
	case a.Retracts != "":
		answer, err = gateway.RetractVote(ctx, ballot, a.ID, a.Retracts)
	case a.Replaces != "":
		answer, err = gateway.ChangeVote(ctx, ballot, a.ID, a.Replaces, a.Names...)
	default:
		answer, err = gateway.TicketAndVote(ctx, ballot, a.ID, a.Names...)
	}
	return said(checker.Outcome(answer.Outcome), answer.Code, err)
}

// said is what an answer by GraphQL means: an error of GraphQL says that nothing happened.
func said(outcome checker.Outcome, code string, err error) (checker.Outcome, string) {
	switch {
	case err == nil:
		return outcome, code
	case voter.Code(err) != "":
		return checker.None, voter.Code(err)
	case voter.Unsent(err):
		return checker.None, voter.NeverSent
	default:
		return checker.Unknown, err.Error()
	}
}

func (p *People) byRPC(ctx context.Context, client votev1.VoteServiceClient, a checker.Attempt) (checker.Outcome, string) {
	verdict, err := call(ctx, client, a)
	switch {
	case err == nil:
		return outcomeOf(verdict.GetOutcome()), strings.TrimPrefix(verdict.GetCode().String(), "CODE_")
	case status.Code(err) == codes.ResourceExhausted, status.Code(err) == codes.InvalidArgument:
		return checker.None, status.Code(err).String()
	case status.Code(err) == codes.Unavailable && strings.Contains(err.Error(), "connection refused"):
		return checker.None, voter.NeverSent
	default:
		return checker.Unknown, err.Error()
	}
}

func call(ctx context.Context, client votev1.VoteServiceClient, a checker.Attempt) (*votev1.Verdict, error) {
	if a.Retracts != "" {
		response, err := client.RetractVote(ctx, &votev1.RetractVoteRequest{
			Ballot: a.Ballot, Voter: a.Voter, VoteId: a.Retracts, IdempotencyKey: a.ID,
		})
		return response.GetVerdict(), err
	}
	response, err := client.CastVotes(ctx, &votev1.CastVotesRequest{Votes: []*votev1.Vote{{
		Ballot: a.Ballot, IdempotencyKey: a.ID, Voter: a.Voter, Choices: []*votev1.Choice{{Candidate: a.Names[0], Count: 1}},
		Permit: &votev1.Vote_NewestTicket{NewestTicket: true}, Replaces: a.Replaces,
	}}})
	if err != nil {
		return nil, err
	}
	if len(response.GetVerdicts()) != 1 {
		return nil, fmt.Errorf("%d verdicts for one vote", len(response.GetVerdicts()))
	}
	return response.GetVerdicts()[0], nil
}

func outcomeOf(o statusv1.Outcome) checker.Outcome {
	switch o {
	case statusv1.Outcome_OUTCOME_COUNTED:
		return checker.Counted
	case statusv1.Outcome_OUTCOME_NONE:
		return checker.None
	default:
		return checker.Unknown
	}
}

// Resolve sends everything whose end is unknown again under its key until it is known. A refusal is an end, too: of a vote
// beyond the limit, of a retraction of what somebody has taken back. It returns how many are left.
func (p *People) Resolve(ctx context.Context, patience time.Duration) int {
	deadline := time.Now().Add(patience)
	left := 0
	for i, a := range p.History.Unresolved() {
		for p.send(ctx, i, a) == checker.Unknown {
			if time.Now().After(deadline) || ctx.Err() != nil {
				left++
				break
			}
			time.Sleep(refusedPause)
		}
	}
	return left
}
