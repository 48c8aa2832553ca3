package voting_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

const hotFor = 30 * 24 * time.Hour

// likes is the ballot of a stage with items.
var likes = pgledger.Ballot{ //nolint:gochecknoglobals // a constant of these tests
	Name: "likes", State: "open", RulesVersion: 1, Visibility: pgledger.VisibleAlways, Ticketless: true,
	VotesPerVoter: 1, PerCandidate: true, HotFor: hotFor,
}

// newShelf is a stage where votes were cast before its epoch: liked are those of the voter "ann".
func newShelf(t *testing.T, liked ...string) *stage {
	t.Helper()
	s := newStage(t)
	defer func() { // the engine has told Redis the rules
		testenv.Eventually(t, 5*time.Second, func() error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.ruled < 2 { // main's and these
				return errors.New("the rules are not told yet")
			}
			return nil
		})
	}()
	for _, item := range liked {
		s.votesOf[pgledger.VoterKey{Voter: "ann", Candidate: item}] = []uuid.UUID{uuid.New()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.redis.Load(t.Context(), s.ledger.Fence(), redisledger.Ballot{
		Name: "likes", State: "open", Rules: 0, VotesPerVoter: 1, PerCandidate: true, Ticketless: true, HotFor: hotFor, Admissions: 1,
		HotVotes: func(_ context.Context, fromID string, yield func(voter, candidate string, vote uuid.UUID) error) error {
			for key, votes := range s.votesOf {
				if key.Candidate >= fromID {
					if err := yield(key.Voter, key.Candidate, votes[0]); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	s.ballots = append(s.ballots, likes)
	return s
}

func (s *stage) like(item string) *votev1.Verdict {
	s.t.Helper()
	return s.cast(&votev1.Vote{Ballot: "likes", Voter: "ann", Choices: []*votev1.Choice{{Candidate: item, Count: 1}}})
}

func (s *stage) unlike(item string) *votev1.Verdict {
	s.t.Helper()
	resp, err := s.engine.RetractVote(s.t.Context(), &votev1.RetractVoteRequest{Ballot: "likes", Voter: "ann", Candidate: item})
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.GetVerdict()
}

// asked returns the items that Postgres was asked about.
func (s *stage) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.questions)
}

func (s *stage) wantCode(v *votev1.Verdict, code statusv1.Code) {
	s.t.Helper()
	if v.GetCode() != code {
		s.t.Fatalf("%v, want %s", v, code)
	}
}

const (
	ok      = statusv1.Code_CODE_OK
	limit   = statusv1.Code_CODE_VOTER_LIMIT
	noVotes = statusv1.Code_CODE_VOTE_NOT_FOUND
)

// Of a hot item Redis knows everything from the beginning of the epoch on: what is missing is no like, and no database is asked.
// Other items are looked up there.
func TestS84AHotItemAsksNoDatabase(t *testing.T) {
	hot, liked := redisledger.ItemID(time.Now().Add(-hotFor/2)), redisledger.ItemID(time.Now().Add(-hotFor/3))
	cold := redisledger.ItemID(time.Now().Add(-hotFor - time.Minute))
	s := newShelf(t, liked, cold)
	s.wantCode(s.like(liked), limit)
	s.wantCode(s.unlike(hot), noVotes)
	s.wantCode(s.like(hot), ok)
	s.wantCode(s.like(hot), limit)
	s.wantCode(s.unlike(liked), ok)
	s.wantCode(s.unlike(liked), noVotes)
	if asked := s.asked(); len(asked) != 0 {
		t.Errorf("Postgres was asked about %v", asked)
	}
	s.wantCode(s.like(cold), limit)
	if asked := s.asked(); !slices.Equal(asked, []string{cold}) {
		t.Errorf("Postgres was asked about %v, want the cold item", asked)
	}
}

// An item becomes cold by the clock, without any job. Its states go from Redis in the background, once Postgres has them; and
// are looked up from then on.
func TestS62StatesOfColdItemsAreDropped(t *testing.T) {
	s := newShelf(t)
	item := redisledger.ItemID(time.Now())
	s.wantCode(s.like(item), ok)
	var batch uuid.UUID
	s.set(func() {
		batch = uuid.UUID(s.logged[0].GetBatchId())
		s.clock = hotFor + time.Hour
	})
	if n := s.forgotten(3); n != 0 {
		t.Fatalf("%d states are dropped that Postgres does not have", n)
	}
	s.set(func() {
		s.applied[batch] = true
		s.votesOf[pgledger.VoterKey{Voter: "ann", Candidate: item}] = []uuid.UUID{uuid.UUID(s.logged[0].GetVotes()[0].GetVoteId())}
	})
	testenv.Eventually(t, 5*time.Second, func() error {
		if s.forgotten(1) != 1 {
			return errors.New("the state is still there")
		}
		return nil
	})
	s.set(func() { s.clock = 0 }) // a batch's id and the clock must agree
	s.wantCode(s.like(item), limit)
	if asked := s.asked(); !slices.Equal(asked, []string{item}) {
		t.Errorf("Postgres was asked about %v, want the item that is cold", asked)
	}
	s.wantCode(s.unlike(item), ok)
	s.wantCode(s.unlike(item), noVotes)
}

// A like that is durable nowhere is refused, and Redis has the state from before; so with an unlike.
func TestS68AFailedSendRollsTheStateBack(t *testing.T) {
	s := newShelf(t)
	item := redisledger.ItemID(time.Now())
	away := func(away bool) {
		s.set(func() {
			s.produce = func(*eventv1.VoteBatch) (bool, error) { return false, errAway }
			s.apply = func(*eventv1.VoteBatch) (pgledger.Verdict, error) { return 0, errAway }
			if !away {
				s.produce = func(*eventv1.VoteBatch) (bool, error) { return true, nil }
			}
		})
	}
	away(true)
	want(t, s.like(item), none)
	s.wantCode(s.unlike(item), noVotes)
	away(false)
	want(t, s.like(item), counted)
	away(true)
	want(t, s.unlike(item), none)
	s.wantCode(s.like(item), limit)
	away(false)
	want(t, s.unlike(item), counted)
	want(t, s.like(item), counted)
	if len(s.logged) != 3 {
		t.Errorf("%d records, want 3", len(s.logged))
	}
}

// Which vote is the last one for a candidate may change while it is looked up; then it is looked up once more.
func TestTheLastVoteMayBeAnother(t *testing.T) {
	s := newShelf(t)
	item := redisledger.ItemID(time.Now())
	s.wantCode(s.like(item), ok)
	var second *votev1.Verdict
	s.set(func() {
		s.afterLook = func() {
			s.wantCode(s.unlike(item), ok)
			second = s.like(item)
		}
	})
	s.wantCode(s.unlike(item), ok)
	if len(s.logged) != 4 || uuid.UUID(s.logged[3].GetVotes()[0].GetRetracts()).String() != second.GetVoteId() {
		t.Errorf("%v: the vote that was there then is retracted", s.logged[len(s.logged)-1])
	}
	s.wantCode(s.unlike(item), noVotes)
}

// A ballot may be known here before its marker is in Redis: the first vote waits for that.
func TestAVoteWaitsForTheMarkerOfItsBallot(t *testing.T) {
	s := newStage(t)
	s.set(func() {
		s.tried = make(chan struct{}) // nobody makes the marker before a vote has missed it
		s.ballots = append(s.ballots, likes)
		s.reads = 0
	})
	testenv.Eventually(t, 5*time.Second, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.reads < 2 {
			return errors.New("the ballots are not read yet")
		}
		return nil
	})
	s.wantCode(s.like("x"), ok)
}

// A sum never comes near the end of 64 bits: long before, the candidate gets no more votes, until some are retracted.
func TestACandidateHasNoMoreVotesThanAllCanRead(t *testing.T) {
	s := newStage(t)
	const bound = 1 << 53
	s.load("main", redisledger.Count{Name: "A", Votes: bound - 2, UpdatedAt: time.Now()})
	want(t, s.cast(forA("")), counted)
	two := forA("")
	two.Choices = append(two.Choices, &votev1.Choice{Candidate: "B", Count: 1})
	v := s.cast(two)
	want(t, v, counted)
	if v.GetTotals()[0].GetVotes() != bound {
		t.Fatalf("%v, want %d", v, int64(bound))
	}
	want(t, s.cast(two), none)
	s.wantCode(s.cast(forA("")), statusv1.Code_CODE_INVALID_ARGUMENT)
	b := forA("")
	b.Choices[0].Candidate = "B"
	want(t, s.cast(b), counted)
}
