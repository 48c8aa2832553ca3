package ballot

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/config"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
)

// ruleFlags are what only a draft can change.
type ruleFlags struct {
	pattern       string
	votesPerVoter int32
	period        time.Duration
	perCandidate  bool
	visibility    string
	ticketless    bool
	hotFor        time.Duration
}

func (r *ruleFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&r.pattern, "candidate-pattern", "", "without a list: the names that may be voted for, an RE2 pattern for the whole name")
	flags.Int32Var(&r.votesPerVoter, "votes-per-voter", 0, "how many votes of one voter count, 1 to 100; 0: no limit, and no voter needed")
	flags.DurationVar(&r.period, "voter-period", 0, "the limit per voter begins anew with each period, 1m to 8784h; 0: it is for the ballot's life")
	flags.BoolVar(&r.perCandidate, "per-candidate", false, "the limit per voter counts each candidate by itself")
	flags.StringVar(&r.visibility, "visibility", "always", "who may see counts: always, after-vote, after-close or never")
	flags.BoolVar(&r.ticketless, "ticketless", false, "votes need no ticket")
	flags.DurationVar(&r.hotFor, "hot-for", 0, "for how long the votes for a candidate whose name tells its time are all kept in Redis, 1h to 8784h; 0: not at all")
}

// changed says whether any of them was given.
func (r *ruleFlags) changed(flags *pflag.FlagSet) bool {
	for _, name := range []string{
		"candidate-pattern", "votes-per-voter", "voter-period", "per-candidate", "visibility", "ticketless", "hot-for",
	} {
		if flags.Changed(name) {
			return true
		}
	}
	return false
}

// over takes the rules of a ballot where no flag says otherwise; without a ballot all are as the flags say.
func (r *ruleFlags) over(b *ballotv1.Ballot, flags *pflag.FlagSet) (*ballotv1.DraftRules, error) {
	visibility, ok := ballotv1.Visibility_value["VISIBILITY_"+strings.ToUpper(strings.ReplaceAll(r.visibility, "-", "_"))]
	if !ok || visibility == 0 {
		return nil, config.Errorf("--visibility", "expected always, after-vote, after-close or never, got %q", r.visibility)
	}
	rules := &ballotv1.DraftRules{
		CandidatePattern: b.GetCandidatePattern(), VotesPerVoter: b.GetVotesPerVoter(), VoterPeriod: b.GetVoterPeriod(),
		LimitScope: b.GetLimitScope(), Visibility: b.GetVisibility(), Ticketless: b.GetTicketless(), HotFor: b.GetHotFor(),
	}
	given := func(name string) bool { return b == nil || flags.Changed(name) }
	if given("candidate-pattern") {
		rules.CandidatePattern = r.pattern
	}
	if given("votes-per-voter") {
		rules.VotesPerVoter = r.votesPerVoter
	}
	if given("voter-period") {
		rules.VoterPeriod = span(r.period)
	}
	if given("per-candidate") {
		rules.LimitScope = ballotv1.LimitScope_LIMIT_SCOPE_BALLOT
		if r.perCandidate {
			rules.LimitScope = ballotv1.LimitScope_LIMIT_SCOPE_CANDIDATE
		}
	}
	if given("visibility") {
		rules.Visibility = ballotv1.Visibility(visibility)
	}
	if given("ticketless") {
		rules.Ticketless = r.ticketless
	}
	if given("hot-for") {
		rules.HotFor = span(r.hotFor)
	}
	return rules, nil
}

func span(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

func (o *options) createCommand() *cobra.Command {
	var (
		b             ballotv1.Ballot
		rules         ruleFlags
		opens, closes string
		interval      time.Duration
		asDraft       bool
	)
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a ballot, which is open between its times, or a draft",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b.Name, b.TicketInterval = args[0], span(interval)
			if asDraft {
				b.State = ballotv1.BallotState_BALLOT_STATE_DRAFT
			}
			r, err := rules.over(nil, cmd.Flags())
			err = errors.Join(err, takeTime("--opens-at", opens, &b.OpensAt), takeTime("--closes-at", closes, &b.ClosesAt))
			if err != nil {
				return err
			}
			b.CandidatePattern, b.VotesPerVoter, b.VoterPeriod, b.LimitScope = r.GetCandidatePattern(), r.GetVotesPerVoter(), r.GetVoterPeriod(), r.GetLimitScope()
			b.Visibility, b.Ticketless, b.HotFor = r.GetVisibility(), r.GetTicketless(), r.GetHotFor()
			return o.call(cmd, func(ctx context.Context, s ballotv1.BallotServiceClient) error {
				answer, err := s.CreateBallot(ctx, &ballotv1.CreateBallotRequest{Ballot: &b, Actor: o.actor})
				return o.show(cmd, answer.GetBallot(), err)
			})
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&asDraft, "draft", false, "make a draft: it takes no votes until it is opened")
	flags.StringVar(&b.Title, "title", "", "what people call it")
	flags.StringArrayVar(&b.Candidates, "candidate", nil, "a name of the closed list, once for each, at most 1000; none: any name will do")
	flags.Int64Var(&b.TicketCap, "ticket-cap", 0, "uses of one ticket; 0: as the setting ticket.cap; 2147483647: no cap")
	flags.DurationVar(&interval, "ticket-interval", 0, "how long a ticket lasts, 100ms to 1h; 0: as the setting ticket.interval")
	flags.StringVar(&opens, "opens-at", "", "from when votes are taken, like 2026-11-21T20:15:00Z")
	flags.StringVar(&closes, "closes-at", "", "from when votes are no longer taken")
	rules.add(flags)
	return cmd
}

// takeTime reads a time; "none" is the zero timestamp, which takes a bound away.
func takeTime(flag, text string, into **timestamppb.Timestamp) error {
	switch text {
	case "":
		return nil
	case "none":
		*into = &timestamppb.Timestamp{}
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return config.Errorf(flag, "expected a time with its zone, like 2026-11-21T20:15:00Z, got %q", text)
	}
	*into = timestamppb.New(t)
	return nil
}

func (o *options) updateCommand() *cobra.Command {
	var (
		req           ballotv1.UpdateBallotRequest
		rules         ruleFlags
		title         string
		ticketCap     int64
		opens, closes string
		interval      time.Duration
	)
	cmd := &cobra.Command{
		Use:   "update NAME",
		Short: "Change a ballot: anything of a draft, and until it is closed its title, times, tickets and further candidates",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			flags := cmd.Flags()
			req.Name, req.Actor, req.TicketInterval = args[0], o.actor, span(interval)
			if flags.Changed("title") {
				req.Title = &title
			}
			if flags.Changed("ticket-cap") {
				req.TicketCap = &ticketCap
			}
			err := errors.Join(takeTime("--opens-at", opens, &req.OpensAt), takeTime("--closes-at", closes, &req.ClosesAt))
			if err != nil {
				return err
			}
			return o.call(cmd, func(ctx context.Context, s ballotv1.BallotServiceClient) error {
				if rules.changed(flags) {
					known, err := s.GetBallot(ctx, &ballotv1.GetBallotRequest{Name: req.GetName()})
					if err != nil {
						return err
					}
					if req.Rules, err = rules.over(known.GetBallot(), flags); err != nil {
						return err
					}
				}
				answer, err := s.UpdateBallot(ctx, &req)
				return o.show(cmd, answer.GetBallot(), err)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&title, "title", "", "what people call it")
	flags.StringArrayVar(&req.AddCandidates, "add-candidate", nil, "a name for the closed list, once for each")
	flags.StringArrayVar(&req.RemoveCandidates, "remove-candidate", nil, "a name to take off the list, of a draft only")
	flags.Int64Var(&ticketCap, "ticket-cap", 0, "uses of one ticket, from the next one on; 0: as the setting ticket.cap; 2147483647: no cap")
	flags.DurationVar(&interval, "ticket-interval", 0, "how long a ticket lasts, from the next one on, 100ms to 1h")
	flags.StringVar(&opens, "opens-at", "", "from when votes are taken, like 2026-11-21T20:15:00Z, or none")
	flags.StringVar(&closes, "closes-at", "", "from when votes are no longer taken, or none")
	rules.add(flags)
	return cmd
}
