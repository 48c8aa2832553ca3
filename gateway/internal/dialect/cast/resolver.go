package cast

import (
	"context"
	"math"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/dialect"
	"github.com/littlevote/littlevote/gateway/internal/dialect/cast/exec"
	"github.com/littlevote/littlevote/gateway/internal/votes"
	"github.com/littlevote/littlevote/libs/ticket"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// The published messages.
const (
	recorded      = "Votes recorded successfully"
	invalidTicket = "Invalid ticket"
	expiredTicket = "Ticket expired"
	usedUp        = "Ticket usage limit exceeded"
	wrongLength   = "Vote count list must have the same length as usernames list"

	// Ours, for what CAST took.
	wrongCount = "Vote counts must be 1 to 2147483647"
	wrongNames = "There must be 1 to 64 usernames"
)

const maxNames = 64 // of one vote, as on /graphql

// New returns the schema over the services. Its messages are English, as they were published.
func New(services dialect.Services, texts *answer.Texts) graphql.ExecutableSchema {
	return exec.NewExecutableSchema(exec.Config{Resolvers: root{resolver{services, texts, &recent{}}}})
}

type resolver struct {
	dialect.Services
	texts  *answer.Texts
	recent *recent
}

type root struct{ resolver }

func (r root) Query() exec.QueryResolver       { return query(r) }
func (r root) Mutation() exec.MutationResolver { return mutation(r) }

type query struct{ resolver }

func (q query) Query(ctx context.Context, username string) (int32, error) {
	return q.Count(ctx, username)
}

// Cas is the ticket of now. Whatever keeps it from being found, it is none, and no error.
func (q query) Cas(ctx context.Context) (*exec.TicketInfo, error) {
	found, err := q.Ticket(ctx)
	if err != nil || found == nil {
		return &exec.TicketInfo{}, nil
	}
	q.recent.saw(found.Value)
	until, err := time.Parse(time.RFC3339, found.ExpiresAt)
	if err != nil {
		return nil, err
	}
	return &exec.TicketInfo{
		Ticket: found.Value, ValidUntil: until.Local().Format("2006-01-02T15:04:05"), RemainingUsage: found.RemainingUsages,
	}, nil
}

type mutation struct{ resolver }

// Vote gives each name its count, all or none. Every answer is data.
func (m mutation) Vote(
	ctx context.Context, usernames []string, voteCount []int32, value string, voterUsername *string,
) (*exec.VoteResult, error) {
	if message := check(usernames, voteCount, value); message != "" {
		return refused(message), nil
	}
	vote := votes.Vote{Candidates: usernames, Counts: voteCount, Ticket: &votev1.TicketRef{Value: value}}
	if voterUsername != nil {
		vote.Label = *voterUsername
	}
	verdict := m.Cast(ctx, vote)
	if verdict.GetCode() != statusv1.Code_CODE_OK {
		return refused(m.message(verdict, value)), nil
	}
	totals := make([]int32, len(verdict.GetTotals()))
	for i, total := range verdict.GetTotals() {
		if total.GetVotes() > math.MaxInt32 { // it counts, and there is no way to say so
			return nil, &model.CountOverflowError{Username: total.GetCandidate(), Count: total.GetVotes()}
		}
		totals[i] = int32(total.GetVotes())
	}
	return &exec.VoteResult{Success: true, Message: recorded, Usernames: usernames, Votes: totals}, nil
}

// check refuses what no ledger would take, in the order of CAST: the ticket comes first.
func check(usernames []string, voteCount []int32, value string) string {
	switch {
	case !ticket.HMAC.Fits(value):
		return invalidTicket
	case len(voteCount) != len(usernames):
		return wrongLength
	case len(usernames) == 0 || len(usernames) > maxNames:
		return wrongNames
	}
	for _, count := range voteCount {
		if count < 1 {
			return wrongCount
		}
	}
	return ""
}

func refused(message string) *exec.VoteResult {
	return &exec.VoteResult{Message: message, Usernames: []string{}, Votes: []int32{}}
}

// message says why a vote was refused. A value that is not the newest ticket's may be an old one's or nobody's: the ledger does not
// tell, and CAST forgot its tickets as well.
func (m mutation) message(verdict *votev1.Verdict, value string) string {
	switch code := verdict.GetCode(); code {
	case statusv1.Code_CODE_TICKET_INVALID, statusv1.Code_CODE_TICKET_SUPERSEDED:
		if m.recent.has(value) {
			return expiredTicket
		}
		return invalidTicket
	case statusv1.Code_CODE_TICKET_EXPIRED:
		return expiredTicket
	case statusv1.Code_CODE_TICKET_EXHAUSTED:
		return usedUp
	case statusv1.Code_CODE_OUTCOME_UNKNOWN: // there are no keys here
		return m.texts.Say(answer.OutcomeUnknownKeyless, answer.English)
	case statusv1.Code_CODE_INVALID_ARGUMENT:
		if verdict.GetDetail() != "" {
			return verdict.GetDetail()
		}
		return m.texts.Say(answer.Invalid, answer.English)
	default:
		return m.texts.Say(answer.ForCode(code), answer.English)
	}
}
