package reading

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/pgledger"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
)

const (
	defaultVotes = 100
	maxVoter     = 128 // bytes
)

// GetVoted implements QueryServiceHandler.
func (s *Service) GetVoted(ctx context.Context, req *queryv1.GetVotedRequest) (*queryv1.GetVotedResponse, error) {
	names := req.GetCandidates()
	if !validVoter(req.GetVoter()) || len(names) < 1 || len(names) > maxPage {
		return nil, invalid("voter: 1 to 128 bytes; candidates: 1 to 1000")
	}
	b, err := s.named(ctx, req.GetBallot())
	if err != nil {
		return nil, err
	}
	if !b.rules.Load().PerCandidate {
		return nil, precondition("the ballot's limit per voter does not count by candidate")
	}
	if !s.mayHold(ctx, b, names) {
		return nil, invalid("candidates: one that the ballot can't have")
	}
	voted, err := s.reader.voted(ctx, b.name, req.GetVoter(), names, func(ctx context.Context, names []string) ([]bool, error) {
		s.metrics.cold.Add(ctx, int64(len(names)))
		return pgledger.Voted(ctx, s.reader.Primary, b.name, req.GetVoter(), names)
	})
	if err != nil {
		s.log.DebugContext(ctx, "the votes of a voter are not known", "ballot", b.name, "error", err)
		s.metrics.refuse(ctx, reasonRights)
		return nil, unavailable("the votes of voters can't be looked up now")
	}
	return &queryv1.GetVotedResponse{Voted: voted}, nil
}

// validVoter refuses what no voter is called.
func validVoter(name string) bool { return len(name) <= maxVoter && storable(name) }

// ListVotes implements QueryServiceHandler.
func (s *Service) ListVotes(ctx context.Context, req *queryv1.ListVotesRequest) (*queryv1.ListVotesResponse, error) {
	size, ok := pageSize(req.GetPageSize(), defaultVotes)
	token, valid := optionalToken(req.GetAtLeast())
	after, wellFormed := parseVoteCursor(req.GetAfter())
	if !ok || !valid || !wellFormed || (req.GetVoter() == "") == (req.GetCandidate() == "") {
		return nil, invalid("voter or candidate: one of the two; page_size: 0 to 1000; after, at_least: as an earlier answer had them")
	}
	b, err := s.named(ctx, req.GetBallot())
	if err != nil {
		return nil, err
	}
	if err := s.mayList(ctx, b, req); err != nil {
		return nil, err
	}
	// One more tells whether anything follows.
	query := pgledger.VotesQuery{Voter: req.GetVoter(), Candidate: req.GetCandidate(), After: after, Limit: size + 1}
	votes, err := s.list(ctx, b, query, token)
	if err != nil {
		return nil, err
	}
	response := &queryv1.ListVotesResponse{}
	if len(votes) > size {
		votes = votes[:size]
		response.Next = votes[size-1].Cursor().String()
	}
	for _, v := range votes {
		response.Votes = append(response.Votes, &queryv1.VoterVote{
			VoteId: v.ID.String(), Voter: v.Voter, Candidate: v.Candidate, VotedAt: timestamppb.New(v.VotedAt),
		})
	}
	return response, nil
}

// mayList refuses what can't be listed. The votes for a candidate are a count of their own, so only what everybody may see
// is listed.
func (s *Service) mayList(ctx context.Context, b *shelf, req *queryv1.ListVotesRequest) error {
	if req.GetVoter() != "" {
		if !validVoter(req.GetVoter()) {
			return invalid("voter: 1 to 128 bytes")
		}
		return nil
	}
	switch {
	case !b.rules.Load().PerCandidate:
		return precondition("the ballot's limit per voter does not count by candidate")
	case !s.mayHold(ctx, b, []string{req.GetCandidate()}):
		return invalid("candidate: one that the ballot can't have")
	}
	return s.mustSee(ctx, &read{shelf: b}, &counts{source: queryv1.Source_SOURCE_POSTGRES_PRIMARY})
}

func parseVoteCursor(text string) (*pgledger.VoteCursor, bool) {
	if text == "" {
		return nil, true
	}
	cursor, err := pgledger.ParseVoteCursor(text)
	return &cursor, err == nil
}

// list returns votes from the first store that has seen the vote of the token, within the time of the call.
func (s *Service) list(
	ctx context.Context, b *shelf, query pgledger.VotesQuery, token *pgledger.Token,
) (votes []pgledger.VoterVote, err error) {
	soon, cancel := inTime(ctx)
	defer cancel()
	for wait := shortestWait; ; wait = min(2*wait, longestWait) {
		votes, err = s.reader.list(soon, b.name, query, token)
		if err == nil {
			return votes, nil
		}
		if token == nil || !pause(soon, wait) {
			break
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	s.log.DebugContext(ctx, "votes can't be listed", "ballot", b.name, "error", err)
	if token != nil {
		s.metrics.refuse(ctx, reasonToken)
		return nil, unavailable("no store that answers has seen the vote of this token")
	}
	s.metrics.refuse(ctx, reasonStores)
	return nil, unavailable("no store that holds votes answers")
}

// list asks the replica, then the primary; a store counts only if it has seen the token's vote.
func (r *Reader) list(
	ctx context.Context, ballot string, query pgledger.VotesQuery, token *pgledger.Token,
) ([]pgledger.VoterVote, error) {
	if token != nil {
		select {
		case r.exact <- struct{}{}:
			defer func() { <-r.exact }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	cause := errNone
	if r.Replica != nil && time.Now().UnixNano() >= r.replicaBack.Load() {
		votes, err := r.listFrom(ctx, r.Replica, ballot, query, token)
		if err == nil {
			return votes, nil
		}
		r.rest(ctx, err)
		cause = err
	}
	votes, err := r.listFrom(ctx, r.Primary, ballot, query, token)
	if err != nil {
		return nil, errors.Join(cause, fmt.Errorf("primary: %w", err))
	}
	return votes, nil
}

func (r *Reader) listFrom(
	ctx context.Context, pool *pgxpool.Pool, ballot string, query pgledger.VotesQuery, token *pgledger.Token,
) ([]pgledger.VoterVote, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	if token != nil {
		read, err := pgledger.TalliesAt(ctx, pool, ballot, []string{}, token)
		if err != nil {
			return nil, err
		}
		if !read.Seen {
			return nil, errOlder
		}
	}
	return pgledger.ListVotes(ctx, pool, ballot, query)
}
