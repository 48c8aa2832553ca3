package ballot

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/certified"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
)

// noCap is how a ticket without a cap is written.
const noCap = 1<<31 - 1

// table writes lines whose columns stand below each other.
func table(cmd *cobra.Command, lines func(row func(columns ...any))) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	lines(func(columns ...any) {
		fmt.Fprintf(w, strings.TrimSuffix(strings.Repeat("%v\t", len(columns)), "\t")+"\n", columns...)
	})
	return w.Flush()
}

// show prints a ballot, if there was no error.
func (o *options) show(cmd *cobra.Command, b *ballotv1.Ballot, err error) error {
	if err != nil {
		return err
	}
	if o.asJSON {
		return printJSON(cmd, b)
	}
	return table(cmd, func(row func(...any)) {
		row("ballot", b.GetName())
		if b.GetTitle() != "" {
			row("title", b.GetTitle())
		}
		row("state", word(b.GetState(), "BALLOT_STATE_"))
		row("candidates", candidates(b))
		row("votes per voter", votesPerVoter(b))
		row("visibility", word(b.GetVisibility(), "VISIBILITY_"))
		if b.GetTicketless() {
			row("tickets", "none needed")
		} else {
			row("ticket cap", limit(b.GetTicketCap(), noCap))
			row("ticket interval", b.GetTicketInterval().AsDuration())
		}
		if hot := b.GetHotFor(); hot != nil {
			row("hot for", hot.AsDuration())
		}
		row("opens", moment(b.GetOpensAt()))
		row("closes", moment(b.GetClosesAt()))
	})
}

func candidates(b *ballotv1.Ballot) string {
	switch {
	case len(b.GetCandidates()) > 0:
		return strings.Join(b.GetCandidates(), ", ")
	case b.GetCandidatePattern() != "":
		return "any name that matches " + b.GetCandidatePattern()
	}
	return "any name"
}

func votesPerVoter(b *ballotv1.Ballot) string {
	text := limit(int64(b.GetVotesPerVoter()), 0)
	if b.GetLimitScope() == ballotv1.LimitScope_LIMIT_SCOPE_CANDIDATE {
		text += " for each candidate"
	}
	if period := b.GetVoterPeriod(); period != nil {
		text += " in " + period.AsDuration().String()
	}
	return text
}

// word is the name of an enum's value, as people say it.
func word(value fmt.Stringer, prefix string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(value.String(), prefix)), "_", "-")
}

func (o *options) showBallots(cmd *cobra.Command, list *ballotv1.ListBallotsResponse, err error) error {
	if err != nil {
		return err
	}
	if o.asJSON {
		return printJSON(cmd, list)
	}
	err = table(cmd, func(row func(...any)) {
		for _, b := range list.GetBallots() {
			row(b.GetName(), word(b.GetState(), "BALLOT_STATE_"), moment(b.GetOpensAt()), moment(b.GetClosesAt()), b.GetTitle())
		}
	})
	if n := len(list.GetBallots()); err == nil && list.GetMore() && n > 0 {
		return o.line(cmd, "… and more: --after %s", list.GetBallots()[n-1].GetName())
	}
	return err
}

// showResult prints a result, if there was no error.
func (o *options) showResult(cmd *cobra.Command, r *ballotv1.Result, err error) error {
	if err != nil {
		return err
	}
	if o.asJSON {
		return printJSON(cmd, r)
	}
	err = table(cmd, func(row func(...any)) {
		for _, c := range r.GetCounts() {
			row(c.GetCandidate(), c.GetVotes())
		}
	})
	if err != nil {
		return err
	}
	return o.line(cmd, "%d votes of ballot %s, %d voided, certified at %s", r.GetVotes(), r.GetBallot(), r.GetVoided(), moment(r.GetCertifiedAt()))
}

// showDocument prints what was signed.
func (o *options) showDocument(cmd *cobra.Command, d *certified.Document) error {
	if o.asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(d)
	}
	err := table(cmd, func(row func(...any)) {
		for _, c := range d.Counts {
			row(c.Candidate, c.Votes)
		}
	})
	for _, v := range d.Voids {
		if err == nil {
			err = o.line(cmd, "voided: %d votes, admitted as %d to %d: %s (proposed by %s, approved by %s)",
				v.Votes, v.First, v.Last, v.Reason, v.ProposedBy, v.ApprovedBy)
		}
	}
	if err != nil {
		return err
	}
	return o.line(cmd, "The signature is right: %d votes of ballot %s, %d voided, certified at %s",
		d.Votes, d.Ballot, d.Voided, d.CertifiedAt.Format(time.RFC3339Nano))
}

func (o *options) showVoid(cmd *cobra.Command, v *ballotv1.Void, err error) error {
	if err != nil {
		return err
	}
	if o.asJSON {
		return printJSON(cmd, v)
	}
	return table(cmd, func(row func(...any)) {
		row("void", v.GetId())
		row("ballot", v.GetBallot())
		row("admission numbers", fmt.Sprintf("%d to %d", v.GetFirstAdmissionNumber(), v.GetLastAdmissionNumber()))
		row("reason", v.GetReason())
		row("proposed", v.GetProposedBy()+", "+moment(v.GetProposedAt()))
		if v.GetApprovedBy() == "" {
			row("approved", "not yet")
			return
		}
		row("approved", v.GetApprovedBy()+", "+moment(v.GetApprovedAt()))
		row("votes taken out", v.GetVotes())
	})
}

func (o *options) showVoids(cmd *cobra.Command, list *ballotv1.ListVoidsResponse, err error) error {
	if err != nil {
		return err
	}
	if o.asJSON {
		return printJSON(cmd, list)
	}
	return table(cmd, func(row func(...any)) {
		for _, v := range list.GetVoids() {
			approved := "not approved"
			if v.GetApprovedBy() != "" {
				approved = fmt.Sprintf("%d votes, approved by %s", v.GetVotes(), v.GetApprovedBy())
			}
			row(v.GetId(), fmt.Sprintf("%d-%d", v.GetFirstAdmissionNumber(), v.GetLastAdmissionNumber()), v.GetProposedBy(), approved, v.GetReason())
		}
	})
}

func (o *options) showAudit(cmd *cobra.Command, list *ballotv1.ListAuditResponse, err error) error {
	if err != nil {
		return err
	}
	if o.asJSON {
		return printJSON(cmd, list)
	}
	err = table(cmd, func(row func(...any)) {
		for _, e := range list.GetEntries() {
			row(e.GetId(), moment(e.GetAt()), e.GetActor(), e.GetAction(), e.GetBallot(), e.GetDetails())
		}
	})
	if n := len(list.GetEntries()); err == nil && list.GetMore() && n > 0 {
		return o.line(cmd, "… and more: --before %d", list.GetEntries()[n-1].GetId())
	}
	return err
}

// line prints one.
func (*options) line(cmd *cobra.Command, format string, args ...any) error {
	_, err := fmt.Fprintf(cmd.OutOrStdout(), format+"\n", args...)
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

func tenantOf(ballot string) string {
	tenant, _, found := strings.Cut(ballot, ".")
	if !found {
		return ""
	}
	return tenant
}
