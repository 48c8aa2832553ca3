package ballot

import (
	"context"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
)

func (o *options) voidCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "void",
		Short: "Take votes of a closed ballot out of the count: one proposes, another approves",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(o.proposeCommand(), o.approveCommand())
	return cmd
}

func (o *options) proposeCommand() *cobra.Command {
	var req ballotv1.ProposeVoidRequest
	cmd := &cobra.Command{
		Use:   "propose NAME",
		Short: "Propose that a range of admitted votes does not count; this changes no count",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Ballot, req.Actor = args[0], o.actor
			if req.GetId() == "" {
				id, err := uuid.NewV7()
				if err != nil {
					return err
				}
				req.Id = id.String() // of all tries
			}
			return o.call(cmd, func(ctx context.Context, s ballotv1.BallotServiceClient) error {
				answer, err := s.ProposeVoid(ctx, &req)
				return o.showVoid(cmd, answer.GetVoid(), err)
			})
		},
	}
	flags := cmd.Flags()
	flags.Int64Var(&req.FirstAdmissionNumber, "first", 0, "the first admission number of the range")
	flags.Int64Var(&req.LastAdmissionNumber, "last", 0, "the last admission number of the range")
	flags.StringVar(&req.Reason, "reason", "", "why, for everybody to read")
	flags.StringVar(&req.Id, "id", "", "the void's id, a UUID: the same again is the same void")
	for _, name := range []string{"first", "last", "reason"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // there is no such flag
		}
	}
	return cmd
}

func (o *options) approveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "approve NAME ID",
		Short: "Approve a void, as somebody else than who proposed it; when this returns, every count shows it",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.call(cmd, func(ctx context.Context, s ballotv1.BallotServiceClient) error {
				answer, err := s.ApproveVoid(ctx, &ballotv1.ApproveVoidRequest{Ballot: args[0], Id: args[1], Actor: o.actor})
				return o.showVoid(cmd, answer.GetVoid(), err)
			})
		},
	}
}

func (o *options) voidsCommand() *cobra.Command {
	return o.onName("voids NAME", "List a ballot's voids, oldest first",
		func(ctx context.Context, cmd *cobra.Command, s ballotv1.BallotServiceClient, name string) error {
			answer, err := s.ListVoids(ctx, &ballotv1.ListVoidsRequest{Ballot: name})
			return o.showVoids(cmd, answer, err)
		})
}
