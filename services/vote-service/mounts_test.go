package voteservice

import (
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/service/servicetest"
	"github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1/ballotv1connect"
	"github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1/votev1connect"
)

// TestCallers tries every procedure as every kind of process: who gets through is written down here once more.
func TestCallers(t *testing.T) {
	host := service.Host{Log: slog.New(slog.DiscardHandler)}
	got := servicetest.Callers(t, mounts(votev1connect.UnimplementedVoteServiceHandler{}, ballotv1connect.UnimplementedBallotServiceHandler{}, host))
	want := map[string][]service.Kind{
		"VoteService/CastVotes":       {service.Gateway, service.BlogService},
		"VoteService/RetractVote":     {service.Gateway, service.BlogService},
		"VoteService/GetVoteStatus":   {service.Gateway},
		"BallotService/CreateBallot":  {service.Gateway, service.BlogService, service.Operator},
		"BallotService/GetBallot":     {service.Gateway, service.Operator},
		"BallotService/ListBallots":   {service.Gateway, service.Operator},
		"BallotService/UpdateBallot":  {service.Gateway, service.Operator},
		"BallotService/CloseBallot":   {service.Gateway, service.Operator},
		"BallotService/CertifyBallot": {service.Gateway, service.Operator},
		"BallotService/GetResult":     {service.Gateway, service.Operator},
		"BallotService/ProposeVoid":   {service.Gateway, service.Operator},
		"BallotService/ApproveVoid":   {service.Gateway, service.Operator},
		"BallotService/ListVoids":     {service.Gateway, service.Operator},
		"BallotService/ListAudit":     {service.Gateway, service.Operator},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("who may call what (-want +got):\n%s", diff)
	}
}
