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
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/scope"
	"github.com/littlevote/littlevote/tools/internal/voter"
)

// LimitedBallot is where each person has one vote.
const LimitedBallot = "limited"

const (
	persons      = 10 // shared by all callers, so that two vote as the same person at the same time
	callers      = 3
	callTimeout  = 8 * time.Second
	openPatience = 30 * time.Second
)

// People are authenticated voters of a ballot that gives each of them one vote. They vote, take it back and vote again, by
// gRPC at the vote-services, as another backend does.
type People struct {
	History *checker.History

	clients []votev1.VoteServiceClient
	stopped chan struct{}
	once    sync.Once
	callers sync.WaitGroup
}

// Invite makes the ballot, and lets people vote on it until they are stopped.
func Invite(t scope.Scope, voteServices []string, seed uint64) *People {
	t.Helper()
	p := &People{History: &checker.History{}, stopped: make(chan struct{})}
	for i, address := range voteServices {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		p.clients = append(p.clients, votev1.NewVoteServiceClient(conn))
		if i == 0 {
			makeBallot(t, ballotv1.NewBallotServiceClient(conn))
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

func makeBallot(t scope.Scope, organisers ballotv1.BallotServiceClient) {
	t.Helper()
	scope.Eventually(t, openPatience, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
		defer cancel()
		_, err := organisers.CreateBallot(ctx, &ballotv1.CreateBallotRequest{
			Ballot: &ballotv1.Ballot{Name: LimitedBallot, Candidates: []string{"no", "yes"}, VotesPerVoter: 1},
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

// turn is one person's vote, and often its retraction.
func (p *People) turn(ctx context.Context, random *rand.Rand) {
	vote := checker.Attempt{
		ID: voter.NewKey(), Keyed: true, Ballot: LimitedBallot, Names: []string{[]string{"no", "yes"}[random.IntN(2)]},
		Voter: fmt.Sprintf("person-%d", random.IntN(persons)),
	}
	if p.insist(ctx, random, vote) != checker.Counted || random.IntN(4) == 0 {
		return
	}
	back := vote
	back.ID, back.Retracts = voter.NewKey(), vote.ID
	p.insist(ctx, random, back)
}

// insist sends it again under its key while nobody knows its end, for some tries.
func (p *People) insist(ctx context.Context, random *rand.Rand, a checker.Attempt) checker.Outcome {
	for range tries {
		if outcome := p.send(ctx, random.IntN(len(p.clients)), a); outcome != checker.Unknown {
			return outcome
		}
		p.pause(refusedPause)
	}
	return checker.Unknown
}

// send sends it once, and writes down what came of it.
func (p *People) send(ctx context.Context, at int, a checker.Attempt) checker.Outcome {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	a.Sent = time.Now()
	verdict, err := p.call(ctx, p.clients[at], a)
	a.Answered = time.Now()
	switch {
	case err == nil:
		a.Code = strings.TrimPrefix(verdict.GetCode().String(), "CODE_")
		a.Outcome = outcomeOf(verdict.GetOutcome())
	case status.Code(err) == codes.ResourceExhausted, status.Code(err) == codes.InvalidArgument:
		a.Code, a.Outcome = status.Code(err).String(), checker.None
	case status.Code(err) == codes.Unavailable && strings.Contains(err.Error(), "connection refused"):
		a.Code, a.Outcome = voter.NeverSent, checker.None
	default:
		a.Code, a.Outcome = err.Error(), checker.Unknown
	}
	p.History.Add(a)
	return a.Outcome
}

func (p *People) call(ctx context.Context, client votev1.VoteServiceClient, a checker.Attempt) (*votev1.Verdict, error) {
	if a.Retracts != "" {
		response, err := client.RetractVote(ctx, &votev1.RetractVoteRequest{
			Ballot: a.Ballot, Voter: a.Voter, VoteId: a.Retracts, IdempotencyKey: a.ID,
		})
		return response.GetVerdict(), err
	}
	response, err := client.CastVotes(ctx, &votev1.CastVotesRequest{Votes: []*votev1.Vote{{
		Ballot: a.Ballot, IdempotencyKey: a.ID, Voter: a.Voter, Choices: []*votev1.Choice{{Candidate: a.Names[0], Count: 1}},
		Permit: &votev1.Vote_NewestTicket{NewestTicket: true},
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
		for p.send(ctx, i%len(p.clients), a) == checker.Unknown {
			if time.Now().After(deadline) || ctx.Err() != nil {
				left++
				break
			}
			time.Sleep(refusedPause)
		}
	}
	return left
}
