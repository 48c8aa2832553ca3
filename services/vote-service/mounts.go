package voteservice

import (
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1/ballotv1connect"
	"github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1/votev1connect"
)

// mounts are the RPC services, and who may call them. Organisers come through the gateway, which knows their rights, or as
// operators. The blog-service casts likes, and makes the ballot that they are cast on.
func mounts(
	votes votev1connect.VoteServiceHandler, organiser ballotv1connect.BallotServiceHandler, host service.Host,
) []service.Mount {
	organisers := []service.Kind{service.Gateway, service.Operator}
	votePath, voteHandler := votev1connect.NewVoteServiceHandler(votes, service.HandlerOptions(host)...)
	ballotPath, ballotHandler := ballotv1connect.NewBallotServiceHandler(organiser, service.HandlerOptions(host)...)
	return []service.Mount{{
		Name: votev1connect.VoteServiceName, Path: votePath, Handler: voteHandler,
		Callers: service.Callers{
			"CastVotes":     {service.Gateway, service.BlogService},
			"RetractVote":   {service.Gateway, service.BlogService},
			"GetVoteStatus": {service.Gateway},
		},
	}, {
		Name: ballotv1connect.BallotServiceName, Path: ballotPath, Handler: ballotHandler,
		Callers: service.Callers{
			"CreateBallot":  {service.Gateway, service.Operator, service.BlogService},
			"GetBallot":     organisers,
			"ListBallots":   organisers,
			"UpdateBallot":  organisers,
			"CloseBallot":   organisers,
			"CertifyBallot": organisers,
			"GetResult":     organisers,
			"ProposeVoid":   organisers,
			"ApproveVoid":   organisers,
			"ListVoids":     organisers,
			"ListAudit":     organisers,
		},
	}}
}
