// Package ballot is `littlevote ballot`: it makes, shows, closes and certifies ballots, by the vote-service's BallotService.
package ballot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/service"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"

	"github.com/littlevote/littlevote/tools/littlevote/internal/reach"
)

const (
	defaultTarget = "127.0.0.1:8102"
	// tryTimeout bounds one call; what takes longer says what it waits for, and is called again.
	tryTimeout  = 10 * time.Second
	pauseBefore = 200 * time.Millisecond // a call is made again
)

// options are what all subcommands share.
type options struct {
	dataDir string
	target  string
	tls     config.TLS
	asJSON  bool
	wait    time.Duration
}

// Command is `littlevote ballot`.
func Command() *cobra.Command {
	o := options{}
	cmd := &cobra.Command{
		Use:   "ballot",
		Short: "Make, show, close and certify ballots",
		Long: `Works on the internal port of a vote-service. Every operation may be repeated: it has its effect once. What a store that is
away keeps from being done is tried again for --wait.`,
		Args: cobra.NoArgs,
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&o.dataDir, "data-dir", ".littlevote", "data directory of a running `up`, which says where its vote-service is")
	flags.StringVar(&o.target, "vote-target", os.Getenv("LITTLEVOTE_VOTE_TARGET"),
		"host:port of a vote-service; else LITTLEVOTE_VOTE_TARGET, else as --data-dir says, else "+defaultTarget)
	flags.StringVar(&o.tls.CAFile, "tls-ca-file", os.Getenv("LITTLEVOTE_TLS_CA_FILE"), "PEM file with the CA of the vote-service's certificate; else LITTLEVOTE_TLS_CA_FILE")
	flags.StringVar(&o.tls.CertFile, "tls-cert-file", os.Getenv("LITTLEVOTE_TLS_CERT_FILE"), "PEM file with a certificate to show; else LITTLEVOTE_TLS_CERT_FILE")
	flags.StringVar(&o.tls.KeyFile, "tls-key-file", os.Getenv("LITTLEVOTE_TLS_KEY_FILE"), "PEM file with its key; else LITTLEVOTE_TLS_KEY_FILE")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON")
	flags.DurationVar(&o.wait, "wait", time.Minute, "how long to go on trying while a store is away")
	cmd.AddCommand(o.createCommand(), o.showCommand(), o.closeCommand(), o.certifyCommand())
	return cmd
}

func (o *options) createCommand() *cobra.Command {
	var (
		b             ballotv1.Ballot
		opens, closes string
	)
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a ballot, which is open between its times",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b.Name = args[0]
			err := errors.Join(takeTime("--opens-at", opens, &b.OpensAt), takeTime("--closes-at", closes, &b.ClosesAt))
			if err != nil {
				return err
			}
			return o.call(cmd, func(ctx context.Context, s ballotv1.BallotServiceClient) error {
				answer, err := s.CreateBallot(ctx, &ballotv1.CreateBallotRequest{Ballot: &b})
				return o.show(cmd, answer.GetBallot(), err)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&b.Candidates, "candidate", nil, "a name of the closed list, once for each, at most 1000; none: any name will do")
	flags.Int32Var(&b.VotesPerVoter, "votes-per-voter", 0, "how many votes of one voter count, 1 to 100; 0: no limit, and no voter needed")
	flags.Int64Var(&b.TicketCap, "ticket-cap", 0, "uses of one ticket; 0: as the setting ticket.cap; 2147483647: no cap")
	flags.StringVar(&opens, "opens-at", "", "from when votes are taken, like 2026-11-21T20:15:00Z")
	flags.StringVar(&closes, "closes-at", "", "from when votes are no longer taken")
	return cmd
}

func takeTime(flag, text string, into **timestamppb.Timestamp) error {
	if text == "" {
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return config.Errorf(flag, "expected a time with its zone, like 2026-11-21T20:15:00Z, got %q", text)
	}
	*into = timestamppb.New(t)
	return nil
}

func (o *options) showCommand() *cobra.Command {
	return o.onName("show NAME", "Show a ballot", func(ctx context.Context, cmd *cobra.Command, s ballotv1.BallotServiceClient, name string) error {
		answer, err := s.GetBallot(ctx, &ballotv1.GetBallotRequest{Name: name})
		return o.show(cmd, answer.GetBallot(), err)
	})
}

func (o *options) closeCommand() *cobra.Command {
	return o.onName("close NAME", "Take no votes any more, from when this returns",
		func(ctx context.Context, cmd *cobra.Command, s ballotv1.BallotServiceClient, name string) error {
			answer, err := s.CloseBallot(ctx, &ballotv1.CloseBallotRequest{Name: name})
			return o.show(cmd, answer.GetBallot(), err)
		})
}

func (o *options) certifyCommand() *cobra.Command {
	return o.onName("certify NAME", "Fix the result of a closed ballot for good, once every acknowledged vote is in it",
		func(ctx context.Context, cmd *cobra.Command, s ballotv1.BallotServiceClient, name string) error {
			answer, err := s.CertifyBallot(ctx, &ballotv1.CertifyBallotRequest{Name: name})
			return o.showResult(cmd, answer.GetResult(), err)
		})
}

func (o *options) onName(
	use, short string, f func(context.Context, *cobra.Command, ballotv1.BallotServiceClient, string) error,
) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.call(cmd, func(ctx context.Context, s ballotv1.BallotServiceClient) error { return f(ctx, cmd, s, args[0]) })
		},
	}
}

// call makes a call, again and again while a store is away.
func (o *options) call(cmd *cobra.Command, f func(context.Context, ballotv1.BallotServiceClient) error) error {
	target := o.target
	if target == "" {
		var err error
		if target, err = reach.Service(o.dataDir, "vote"); err != nil {
			return err
		}
	}
	if target == "" {
		target = defaultTarget
	}
	conn, err := service.Dial(target, o.tls)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), o.wait)
	defer cancel()
	var last error // says best what was waited for
	for {
		try, done := context.WithTimeout(ctx, tryTimeout)
		err := f(try, ballotv1.NewBallotServiceClient(conn))
		done()
		code := status.Code(err)
		if code != codes.Unavailable && code != codes.DeadlineExceeded {
			return plain(err)
		}
		if last == nil || code == codes.Unavailable {
			last = err
		}
		select {
		case <-ctx.Done():
			return plain(last)
		case <-time.After(pauseBefore):
		}
	}
}

// plain is an answer's error without what only programs read.
func plain(err error) error {
	if answer, ok := status.FromError(err); ok && err != nil {
		return fmt.Errorf("%s (%s)", answer.Message(), answer.Code())
	}
	return err
}
