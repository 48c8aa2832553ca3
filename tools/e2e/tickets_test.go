package e2e

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/littlevote/littlevote/tools/e2e/internal/fixture"
	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/system"
	"github.com/littlevote/littlevote/tools/internal/voter"
)

// Each voter stops at an answer that says "exhausted". So the last window in which a vote counts is a full one: whoever
// counted there went on until that window, or a later one, was exhausted, and there is no later one.
func TestS32CapUnderSaturationIsExact(t *testing.T) {
	const limit, voters, windows, interval = 100, 64, 4, 2 * time.Second
	s := fixture.Start(t, system.Config{Replicas: 2, Flags: map[system.Kind][]string{
		system.Ticket: {"--ticket-cap=100", "--ticket-interval=" + interval.String()},
	}})
	first := freshTicket(t, s.Gateways[0], "main")
	var enough atomic.Bool
	history := &checker.History{}
	c := gather(t, s.Gateways, history, voters, func(n int) turn {
		next := alternating(n%4 < 2)(n)
		return func(ctx context.Context, v voter.Voter) (checker.Attempt, bool) {
			a, _ := next(ctx, v)
			return a, !enough.Load() || a.Code != "TICKET_EXHAUSTED"
		}
	})
	<-time.After(time.Until(first.CreatedAt.Add((windows - 1) * interval)))
	enough.Store(true)
	c.voters.Wait()
	ledger := s.Verify(t, s.Gateways[0], history)

	votes := map[string]int{}
	for _, row := range ledger.Rows {
		votes[row.Ticket]++
	}
	touched, from, to := 0, first.CreatedAt, first.CreatedAt
	for _, ticket := range ledger.Tickets {
		if ticket.Ballot != "main" || votes[ticket.Version] == 0 {
			continue
		}
		touched++
		if ticket.Created.After(to) {
			to = *ticket.Created
		}
		if votes[ticket.Version] != limit {
			t.Errorf("ticket %s has %d votes", ticket.Version, votes[ticket.Version])
		}
	}
	if skipped := int(to.Sub(from)/interval) + 1 - touched; touched < windows || skipped != 0 {
		t.Errorf("%d windows touched from %v to %v, %d without a vote", touched, from, to, skipped)
	}
	if want := limit * touched; len(ledger.Rows) != want || history.Number(checker.Counted) != want {
		t.Errorf("%d rows, %d acknowledged, want %d", len(ledger.Rows), history.Number(checker.Counted), want)
	}
}

func TestS33ExpiredTicketCountsNothing(t *testing.T) {
	const voters = 32
	s := fixture.Start(t, system.Config{Replicas: 2, Flags: map[system.Kind][]string{
		system.Ticket: {"--ticket-cap=1000", "--ticket-interval=1s"},
	}})
	expired := awaitTicket(t, s.Gateways[0], "main", "")
	awaitTicket(t, s.Gateways[0], "main", expired.Version)
	history := &checker.History{}
	c := gather(t, s.Gateways, history, voters, func(n int) turn {
		return func(ctx context.Context, v voter.Voter) (checker.Attempt, bool) {
			answer, a := v.Vote(ctx, expired, "", letter(n))
			if a.Code != "TICKET_EXPIRED" && a.Code != "TICKET_SUPERSEDED" || a.Outcome != checker.None ||
				answer.Message != "票据已过期或版本不匹配" || answer.Success {
				t.Errorf("a vote with an expired ticket: %s %s, %+v", a.Outcome, a.Code, answer)
				return a, false
			}
			return a, true
		}
	})
	c.awaitAttempts(t, 1000)
	c.stop()
	if ledger := s.Verify(t, s.Gateways[0], history); len(ledger.Rows) != 0 {
		t.Errorf("%d votes counted", len(ledger.Rows))
	}
	if newest := awaitTicket(t, s.Gateways[0], "main", ""); newest.RemainingUsages != 1000 {
		t.Errorf("the newest ticket has %d uses left: the refused votes have taken some", newest.RemainingUsages)
	}
}
