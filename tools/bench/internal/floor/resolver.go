package floor

import (
	"context"

	"github.com/littlevote/littlevote/tools/bench/internal/floor/generated"
)

// resolver answers everything with values made once.
type resolver struct {
	ticket *generated.Ticket
	count  *generated.UserVote
	counts []*generated.UserVote
	voted  *generated.VoteResponse
	status *generated.VoteStatus
}

func newResolver() *resolver {
	const (
		begin = "2026-11-21T00:00:00.000Z"
		end   = "2100-01-01T00:00:00.000Z" // the benchmark's voters never see it expire
		// As long as a real one.
		value = "AQRtYWluAAAAAQAAAAEAAAAB0n0bYw8mJm4V5nQeXh7r0K3o3mYyq2sJ8cQxH0a6vJ1b4t9uC5r7w2e8fZkGdL"
		token = "AQRtYWluAAAAAQAAAAAAAAAB"
	)
	r := &resolver{
		ticket: &generated.Ticket{
			Value: value, Version: "1.1.1", RemainingUsages: 2147483647, ExpiresAt: end, CreatedAt: begin,
		},
	}
	for name := 'A'; name <= 'Z'; name++ {
		r.counts = append(r.counts, &generated.UserVote{
			Username: string(name), Votes: 1000, VotesExact: "1000", UpdatedAt: begin, Ballot: "main", AsOf: begin,
		})
	}
	r.count = r.counts[0]
	id, tok := "0193f2a4-5b6c-7d8e-9f00-112233445566", token
	r.voted = &generated.VoteResponse{
		Success: true, Message: "投票成功", Usernames: []string{"A"}, Timestamp: begin, Code: "OK",
		Outcome: generated.OutcomeCounted, VoteID: &id, Token: &tok, Totals: []*generated.UserVote{r.count},
	}
	r.status = &generated.VoteStatus{ID: id, Ballot: "main", State: generated.VoteStateCounted, Choices: []*generated.VoteChoice{}}
	return r
}

func (r *resolver) Query() generated.QueryResolver       { return query{resolver: r} }
func (r *resolver) Mutation() generated.MutationResolver { return mutation{resolver: r} }
func (r *resolver) Entity() generated.EntityResolver     { return entity{resolver: r} }

func (r *resolver) Subscription() generated.SubscriptionResolver { return r }

// query answers what the benchmark asks; the rest of the schema is there and has no answer.
type query struct {
	generated.QueryResolver // nil
	*resolver
}

// mutation is like query.
type mutation struct {
	generated.MutationResolver // nil
	*resolver
}

// entity is like query.
type entity struct {
	generated.EntityResolver // nil
	*resolver
}

func (q query) GetTicket(context.Context, *string) (*generated.Ticket, error) {
	return q.ticket, nil
}

func (q query) GetUserVotes(context.Context, string, *string, *string) (*generated.UserVote, error) {
	return q.count, nil
}

func (q query) GetAllUserVotes(context.Context, *string, *string) ([]*generated.UserVote, error) {
	return q.counts, nil
}

func (q query) Vote(context.Context, string, *string) (*generated.VoteStatus, error) {
	return q.status, nil
}

func (m mutation) Vote(context.Context, generated.VoteInput, *string) (*generated.VoteResponse, error) {
	return m.voted, nil
}

func (m mutation) TicketAndVote(context.Context, []string, *string, *string) (*generated.VoteResponse, error) {
	return m.voted, nil
}

// Tally ends with its first update: what never changes has no more.
func (r *resolver) Tally(context.Context, *string) (<-chan *generated.TallyUpdate, error) {
	updates := make(chan *generated.TallyUpdate, 1)
	updates <- &generated.TallyUpdate{Ballot: "main", Seq: "1", Snapshot: true, Counts: r.counts, AsOf: r.count.AsOf}
	close(updates)
	return updates, nil
}

func (e entity) FindManyUserVoteByBallotAndUsernames(_ context.Context, keys []*generated.UserVoteByBallotAndUsernamesInput) ([]*generated.UserVote, error) {
	found := make([]*generated.UserVote, len(keys))
	for i := range keys {
		found[i] = e.count
	}
	return found, nil
}
