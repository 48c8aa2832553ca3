package client

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// TicketCommand is `littlevote ticket`.
func TicketCommand() *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "ticket",
		Short: "Show the newest ticket of a ballot",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var data struct {
				GetTicket struct {
					Value, Version, ExpiresAt, CreatedAt string
					RemainingUsages                      int64
				}
			}
			const document = `query($ballot:ID!){getTicket(ballot:$ballot){value version remainingUsages expiresAt createdAt}}`
			if err := t.query(cmd, document, map[string]any{}, &data); err != nil || t.json {
				return err
			}
			k := data.GetTicket
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "value     %s\nversion   %s\nleft      %d\ncreated   %s\nexpires   %s\n",
				k.Value, k.Version, k.RemainingUsages, k.CreatedAt, k.ExpiresAt)
			return err
		},
	}
	t.flags(cmd)
	return cmd
}

// count is a candidate's count in an answer.
type count struct {
	Username   string
	VotesExact string
	UpdatedAt  string
	Stale      bool
}

// VoteCommand is `littlevote vote`.
func VoteCommand() *cobra.Command {
	var (
		t   target
		key string
	)
	cmd := &cobra.Command{
		Use:   "vote CANDIDATE...",
		Short: "Vote with the newest ticket",
		Long: `Votes with the newest ticket, for all the candidates named or for none. Exits with 1 if the vote does not count.

With --key (a UUID, best of version 7) the same command may be repeated: the vote counts once.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			var data struct {
				TicketAndVote struct {
					Success               bool
					Message, Code, VoteID string
					Totals                []count
				}
			}
			const document = `mutation($names:[String!]!,$ballot:ID!,$key:String){
				ticketAndVote(usernames:$names,ballot:$ballot,idempotencyKey:$key){
					success message code outcome retryable voteId token totals{username votesExact}}}`
			variables := map[string]any{"names": names}
			if key != "" {
				variables["key"] = key
			}
			if err := t.query(cmd, document, variables, &data); err != nil {
				return err
			}
			answer := data.TicketAndVote
			if !t.json {
				fmt.Fprintf(cmd.OutOrStdout(), "%s (%s)\n", answer.Message, answer.Code)
				if err := table(cmd, answer.Totals); err != nil {
					return err
				}
			}
			if !answer.Success {
				return ErrRefused
			}
			return nil
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVar(&key, "key", "", "idempotency key: the same key again is the same vote")
	return cmd
}

// ResultsCommand is `littlevote results`.
func ResultsCommand() *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "results [CANDIDATE...]",
		Short: "Show the counts of a ballot, the most votes first",
		RunE: func(cmd *cobra.Command, names []string) error {
			var data struct{ GetAllUserVotes []count }
			const document = `query($ballot:ID!){getAllUserVotes(ballot:$ballot){username votesExact updatedAt stale}}`
			if err := t.query(cmd, document, map[string]any{}, &data); err != nil || t.json {
				return err
			}
			counts := slices.DeleteFunc(data.GetAllUserVotes, func(c count) bool {
				return len(names) > 0 && !slices.Contains(names, c.Username)
			})
			slices.SortStableFunc(counts, func(a, b count) int {
				if byLen := len(b.VotesExact) - len(a.VotesExact); byLen != 0 {
					return byLen
				}
				return strings.Compare(b.VotesExact, a.VotesExact)
			})
			if slices.ContainsFunc(counts, func(c count) bool { return c.Stale }) {
				fmt.Fprintln(cmd.OutOrStdout(), "These counts may be old: the live tally is away.")
			}
			return table(cmd, counts)
		},
	}
	t.flags(cmd)
	return cmd
}

func table(cmd *cobra.Command, counts []count) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, c := range counts {
		fmt.Fprintf(w, "%s\t%s\n", c.Username, c.VotesExact)
	}
	return w.Flush()
}
