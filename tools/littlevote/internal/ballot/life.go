package ballot

import (
	"context"

	"github.com/spf13/cobra"

	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
)

// byName is a command on one ballot.
type byName func(ctx context.Context, cmd *cobra.Command, s ballotv1.BallotServiceClient, name string) error

func (o *options) onName(use, short string, f byName) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.call(cmd, func(ctx context.Context, s ballotv1.BallotServiceClient) error { return f(ctx, cmd, s, args[0]) })
		},
	}
}

func (o *options) showCommand() *cobra.Command {
	return o.onName("show NAME", "Show a ballot", func(ctx context.Context, cmd *cobra.Command, s ballotv1.BallotServiceClient, name string) error {
		answer, err := s.GetBallot(ctx, &ballotv1.GetBallotRequest{Name: name})
		return o.show(cmd, answer.GetBallot(), err)
	})
}

func (o *options) openCommand() *cobra.Command {
	return o.onName("open NAME", "Take votes, between the opening and closing times", o.become(ballotv1.BallotState_BALLOT_STATE_OPEN))
}

func (o *options) pauseCommand() *cobra.Command {
	return o.onName("pause NAME", "Take no votes for now, from when this returns", o.become(ballotv1.BallotState_BALLOT_STATE_PAUSED))
}

func (o *options) become(state ballotv1.BallotState) byName {
	return func(ctx context.Context, cmd *cobra.Command, s ballotv1.BallotServiceClient, name string) error {
		answer, err := s.UpdateBallot(ctx, &ballotv1.UpdateBallotRequest{Name: name, Actor: o.actor, State: &state})
		return o.show(cmd, answer.GetBallot(), err)
	}
}

func (o *options) closeCommand() *cobra.Command {
	return o.onName("close NAME", "Take no votes any more, from when this returns",
		func(ctx context.Context, cmd *cobra.Command, s ballotv1.BallotServiceClient, name string) error {
			answer, err := s.CloseBallot(ctx, &ballotv1.CloseBallotRequest{Name: name, Actor: o.actor})
			return o.show(cmd, answer.GetBallot(), err)
		})
}

func (o *options) certifyCommand() *cobra.Command {
	return o.onName("certify NAME", "Sign the result of a closed ballot and fix it for good, once every acknowledged vote is in it",
		func(ctx context.Context, cmd *cobra.Command, s ballotv1.BallotServiceClient, name string) error {
			answer, err := s.CertifyBallot(ctx, &ballotv1.CertifyBallotRequest{Name: name, Actor: o.actor})
			return o.showResult(cmd, answer.GetResult(), err)
		})
}

func (o *options) resultCommand() *cobra.Command {
	var signed bool
	cmd := o.onName("result NAME", "Show the result of a certified ballot",
		func(ctx context.Context, cmd *cobra.Command, s ballotv1.BallotServiceClient, name string) error {
			answer, err := s.GetResult(ctx, &ballotv1.GetResultRequest{Name: name})
			if signed && err == nil {
				return o.line(cmd, "%s", answer.GetResult().GetSigned())
			}
			return o.showResult(cmd, answer.GetResult(), err)
		})
	cmd.Flags().BoolVar(&signed, "signed", false, "print the signed document, for `littlevote ballot verify`")
	return cmd
}

// page is which part of a list is asked for.
type page struct {
	tenant string
	size   int32
}

func (p *page) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.tenant, "tenant", "", "whose; empty: the default tenant")
	cmd.Flags().Int32Var(&p.size, "limit", 0, "how many at most, 1 to 1000; 0: 100")
}

func (o *options) listCommand() *cobra.Command {
	var (
		p     page
		after string
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List a tenant's ballots by name",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.call(cmd, func(ctx context.Context, s ballotv1.BallotServiceClient) error {
				answer, err := s.ListBallots(ctx, &ballotv1.ListBallotsRequest{Tenant: p.tenant, PageSize: p.size, After: after})
				return o.showBallots(cmd, answer, err)
			})
		},
	}
	p.flags(cmd)
	cmd.Flags().StringVar(&after, "after", "", "begin behind this ballot")
	return cmd
}

func (o *options) auditCommand() *cobra.Command {
	var (
		p      page
		before int64
	)
	cmd := &cobra.Command{
		Use:   "audit [NAME]",
		Short: "Show what was done to a ballot, or to all of a tenant's, newest first",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &ballotv1.ListAuditRequest{Tenant: p.tenant, PageSize: p.size, Before: before}
			if len(args) > 0 {
				req.Ballot = args[0]
				if !cmd.Flags().Changed("tenant") {
					req.Tenant = tenantOf(args[0])
				}
			}
			return o.call(cmd, func(ctx context.Context, s ballotv1.BallotServiceClient) error {
				answer, err := s.ListAudit(ctx, req)
				return o.showAudit(cmd, answer, err)
			})
		},
	}
	p.flags(cmd)
	cmd.Flags().Int64Var(&before, "before", 0, "begin before the entry with this id")
	return cmd
}
