package gateway

import (
	"github.com/littlevote/littlevote/gateway/internal/live"
	"github.com/littlevote/littlevote/gateway/internal/organise"
	"github.com/littlevote/littlevote/gateway/internal/overload"
	"github.com/littlevote/littlevote/gateway/internal/reads"
	"github.com/littlevote/littlevote/gateway/internal/resolver"
	"github.com/littlevote/littlevote/gateway/internal/votes"
	"github.com/littlevote/littlevote/libs/service"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	ticketv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ticket/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// gather makes what gathers votes and reads into calls, each behind a gate that tells the door, and what makes calls of their
// own, and returns all that the resolvers ask.
func (s *Service) gather(host service.Host, door *overload.Door) (resolver.Config, error) {
	observers, err := newShedding(host.Meter, door, "votes", "tallies", "tickets", "ballots", "rankings")
	if err != nil {
		return resolver.Config{}, err
	}
	metrics, err := votes.NewMetrics(host.Meter)
	if err != nil {
		return resolver.Config{}, err
	}
	reading, voting := s.cfg.Gateway.Reads.config(), votev1.NewVoteServiceClient(s.backends.vote)
	querying, ballots := queryv1.NewQueryServiceClient(s.backends.query), ballotv1.NewBallotServiceClient(s.backends.vote)
	s.tickets = reads.NewTickets(ticketv1.NewTicketServiceClient(s.backends.ticket), reading, observers["tickets"])
	s.tallies = reads.NewTallies(querying, reading, observers["tallies"])
	s.ballots = reads.NewBallots(ballots, reading, observers["ballots"])
	s.rankings = reads.NewRankings(querying, reading, observers["rankings"])
	s.live = live.NewHub(querying, s.cfg.Gateway.Live.hub(s.cfg.Gateway.Reads.Timeout))
	s.voter = votes.New(voting, s.cfg.Gateway.Votes.config(), observers["votes"], metrics, host.Log)
	acting := reading
	acting.Timeout = s.cfg.Gateway.RequestTimeout // to close or to certify may wait for the ledger
	root := resolver.Config{
		Tickets: s.tickets, Tallies: s.tallies, Statuses: reads.NewStatuses(voting, reading), Ballots: s.ballots, Rankings: s.rankings,
		Voter: s.voter, Organiser: organise.New(ballots, reads.NewCalls(acting)), Live: s.live,
	}
	return root, watchQueues(host.Meter, map[string]func() int{
		"votes": s.voter.Waiting, "tallies": s.tallies.Waiting, "tickets": s.tickets.Waiting,
		"ballots": s.ballots.Waiting, "rankings": s.rankings.Waiting,
	})
}
