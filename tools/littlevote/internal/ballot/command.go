// Package ballot is `littlevote ballot`: what organisers do, by the vote-service's BallotService.
package ballot

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/service"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"

	"github.com/littlevote/littlevote/tools/littlevote/internal/reach"
)

const (
	defaultTarget = "127.0.0.1:8102"
	// tryTimeout bounds one call; what takes longer says what it waits for, and is called again.
	tryTimeout  = 35 * time.Second
	pauseBefore = 200 * time.Millisecond // a call is made again
)

// options are what all subcommands share.
type options struct {
	dataDir string
	target  string
	tls     config.TLS
	asJSON  bool
	wait    time.Duration
	actor   string
}

// Command is `littlevote ballot`.
func Command() *cobra.Command {
	o := options{}
	cmd := &cobra.Command{
		Use:   "ballot",
		Short: "Run ballots: make, change, open, close and certify them",
		Long: `Works on the internal port of a vote-service. Every operation may be repeated: it has its effect once, and leaves one entry in the
audit, in the name of --as. What a store that is away keeps from being done is tried again for --wait.

A ballot of another tenant than the default one has the tenant's name and a dot before its own: acme.final.`,
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
	flags.StringVar(&o.actor, "as", defaultActor(), "who acts")
	cmd.AddCommand(
		o.createCommand(), o.showCommand(), o.listCommand(), o.updateCommand(), o.openCommand(), o.pauseCommand(), o.closeCommand(),
		o.certifyCommand(), o.resultCommand(), o.verifyCommand(), o.voidCommand(), o.voidsCommand(), o.auditCommand(),
	)
	return cmd
}

func defaultActor() string {
	if me, err := user.Current(); err == nil {
		return "cli:" + me.Username
	}
	return "cli:unknown"
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
	secure, err := service.ClientTLS(o.tls, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	conn, err := service.Dial(target, secure, grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxSigned)))
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
