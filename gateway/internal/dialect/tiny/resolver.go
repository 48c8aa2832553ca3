package tiny

import (
	"context"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/dialect"
	"github.com/littlevote/littlevote/gateway/internal/dialect/tiny/exec"
	"github.com/littlevote/littlevote/gateway/internal/overload"
	"github.com/littlevote/littlevote/gateway/internal/votes"
	"github.com/littlevote/littlevote/libs/ticket"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// The published answers.
const (
	counted  = "成功"
	stale    = "ticket 失效"
	timedOut = "未能获取锁，已超时"
)

// The published wait.
const (
	poll     = 100 * time.Millisecond
	patience = time.Second
)

const maxNames = 64 // of one vote, as on /graphql

// New returns the schema over the services.
func New(services dialect.Services) graphql.ExecutableSchema {
	return exec.NewExecutableSchema(exec.Config{Resolvers: root{services}})
}

type root struct{ dialect.Services }

func (r root) Query() exec.QueryResolver       { return query(r) }
func (r root) Mutation() exec.MutationResolver { return mutation(r) }

type query struct{ dialect.Services }

func (q query) Query(ctx context.Context, username string) (int32, error) {
	return q.Count(ctx, username)
}

// Cas is the ticket of now, empty if there is none.
func (q query) Cas(ctx context.Context) (string, error) {
	found, err := q.Ticket(ctx)
	if err != nil || found == nil {
		return "", err
	}
	return found.Value, nil
}

type mutation struct{ dialect.Services }

// Vote gives each name one vote, all or none. A place that can't be had for a moment is waited for.
func (m mutation) Vote(ctx context.Context, usernames []string, value string) (string, error) {
	switch {
	case !ticket.UUID.Fits(value): // the empty one too, whatever the ticket of now is
		return stale, nil
	case len(usernames) == 0:
		return "", answer.NotValid(answer.NamesEmpty)
	case len(usernames) > maxNames:
		return "", answer.NotValid(answer.NamesTooMany)
	}
	vote := votes.Vote{Candidates: usernames, Ticket: &votev1.TicketRef{Value: value}}
	for end := time.Now().Add(patience); ; {
		verdict := m.Cast(ctx, vote)
		if verdict.GetCode() != statusv1.Code_CODE_OVERLOADED {
			return say(verdict)
		}
		if overload.IsShed(ctx) || time.Until(end) < poll || !pause(ctx) {
			return timedOut, nil
		}
	}
}

// say puts a verdict into the published words. What could not be decided is an error, as a lock was that could not be asked.
func say(verdict *votev1.Verdict) (string, error) {
	switch code := verdict.GetCode(); code {
	case statusv1.Code_CODE_OK:
		return counted, nil
	case statusv1.Code_CODE_TICKET_INVALID, statusv1.Code_CODE_TICKET_EXPIRED, statusv1.Code_CODE_TICKET_SUPERSEDED,
		statusv1.Code_CODE_TICKET_EXHAUSTED, statusv1.Code_CODE_BALLOT_CLOSED:
		return stale, nil
	case statusv1.Code_CODE_INVALID_ARGUMENT:
		return "", answer.NotValid(answer.NameFormat) // all else was checked here
	case statusv1.Code_CODE_OUTCOME_UNKNOWN: // to be sent again by nobody: there are no keys here
		return "", &answer.Refusal{Code: code, Text: answer.LockFailed}
	default:
		return "", &answer.Refusal{
			Code: code, Text: answer.LockFailed, Retryable: verdict.GetRetryable(), RetryAfter: verdict.GetRetryAfter().AsDuration(),
		}
	}
}

// pause waits for the next turn; false if ctx ended first.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(poll)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
