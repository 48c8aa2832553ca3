package likes

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/littlevote/littlevote/libs/service"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// errVerdicts says that an answer does not fit its question.
var errVerdicts = errors.New("wrong number of answers")

const (
	// hotFor is how long all the likes of a post are kept in Redis: a month.
	hotFor = 30 * 24 * time.Hour
	// actor is who makes the ballots, in the audit.
	actor = "service:blog-service"
	// makeTimeout bounds the making of a ballot.
	makeTimeout = 5 * time.Second
)

// makeBallot makes the tenant's ballot of likes, once for all who want it at the same moment. One that is there is left as
// it is, also where an organiser has changed what may be changed of it.
func (s *Service) makeBallot(ctx context.Context, tenant string) error {
	name := ballotOf(tenant)
	done := s.making.DoChan(name, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), makeTimeout) // it is not this caller's alone
		defer cancel()
		_, err := s.backends.Ballots.CreateBallot(ctx, &ballotv1.CreateBallotRequest{Ballot: likesBallot(name), Actor: actor})
		if detail, said := service.Detail(err); said && detail.GetCode() == statusv1.Code_CODE_ALREADY_EXISTS {
			return nil, nil //nolint:nilnil // there is nothing but the error
		}
		return nil, err
	})
	select {
	case result := <-done:
		return result.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func likesBallot(name string) *ballotv1.Ballot {
	return &ballotv1.Ballot{
		Name: name, Title: "Likes", State: ballotv1.BallotState_BALLOT_STATE_OPEN, CandidatePattern: itemPattern, Ticketless: true,
		VotesPerVoter: 1, LimitScope: ballotv1.LimitScope_LIMIT_SCOPE_CANDIDATE,
		Visibility: ballotv1.Visibility_VISIBILITY_ALWAYS, HotFor: durationpb.New(hotFor),
	}
}
