package ballot

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
)

// noCap is how a ticket without a cap is written.
const noCap = 1<<31 - 1

// show prints a ballot, if there was no error.
func (o *options) show(cmd *cobra.Command, b *ballotv1.Ballot, err error) error {
	if err != nil {
		return err
	}
	if o.asJSON {
		return printJSON(cmd, b)
	}
	candidates := strings.Join(b.GetCandidates(), ", ")
	if len(b.GetCandidates()) == 0 {
		candidates = "any name"
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "ballot\t%s\n", b.GetName())
	fmt.Fprintf(w, "state\t%s\n", strings.ToLower(strings.TrimPrefix(b.GetState().String(), "BALLOT_STATE_")))
	fmt.Fprintf(w, "candidates\t%s\n", candidates)
	fmt.Fprintf(w, "votes per voter\t%s\n", limit(int64(b.GetVotesPerVoter()), 0))
	fmt.Fprintf(w, "ticket cap\t%s\n", limit(b.GetTicketCap(), noCap))
	fmt.Fprintf(w, "opens\t%s\n", moment(b.GetOpensAt()))
	fmt.Fprintf(w, "closes\t%s\n", moment(b.GetClosesAt()))
	return w.Flush()
}

// showResult prints a result, if there was no error.
func (o *options) showResult(cmd *cobra.Command, r *ballotv1.Result, err error) error {
	if err != nil {
		return err
	}
	if o.asJSON {
		return printJSON(cmd, r)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, c := range r.GetCounts() {
		fmt.Fprintf(w, "%s\t%d\n", c.GetCandidate(), c.GetVotes())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d votes of ballot %s, certified at %s\n",
		r.GetVotes(), r.GetBallot(), moment(r.GetCertifiedAt()))
	return err
}

func printJSON(cmd *cobra.Command, m proto.Message) error {
	text, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
	return err
}

func limit(n, none int64) string {
	if n == none {
		return "no limit"
	}
	return fmt.Sprint(n)
}

func moment(t *timestamppb.Timestamp) string {
	if t == nil {
		return "no bound"
	}
	return t.AsTime().Format(time.RFC3339Nano)
}
