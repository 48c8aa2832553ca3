package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/voter"
)

// progressTimeout bounds every wait for a crowd to get on.
const progressTimeout = 45 * time.Second

// slack is what a promised time is given on a machine that does much else.
const slack = 3 * time.Second

// refusedPause is how long a voter of a crowd waits before the next vote when one did not count.
const refusedPause = 10 * time.Millisecond

// turn is one vote of one voter; it returns false when the voter has had enough.
type turn func(ctx context.Context, v voter.Voter) (checker.Attempt, bool)

// crowd is voters who vote one vote after the other, each over a connection of its own, until they are stopped. A voter
// goes to another gateway each time.
type crowd struct {
	history *checker.History
	stopped chan struct{}
	voters  sync.WaitGroup
	once    sync.Once
}

// gather starts a crowd. newTurn is called once for each voter.
func gather(
	t *testing.T, gateways []*voter.Client, history *checker.History, voters int, newTurn func(voter int) turn,
) *crowd {
	t.Helper()
	c := &crowd{history: history, stopped: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	for i := range voters {
		c.voters.Go(func() { c.vote(ctx, gateways, i, newTurn(i)) })
	}
	t.Cleanup(func() {
		cancel() // only where the test has failed before it stopped the crowd
		c.stop()
	})
	return c
}

func (c *crowd) vote(ctx context.Context, gateways []*voter.Client, i int, next turn) {
	for n := i; ; n++ {
		select {
		case <-c.stopped:
			return
		default:
		}
		v := voter.Voter{Client: gateways[n%len(gateways)], Ballot: "main", History: c.history}
		a, more := next(ctx, v)
		if !more {
			return
		}
		if a.Outcome != checker.Counted {
			c.pause()
		}
	}
}

func (c *crowd) pause() {
	select {
	case <-c.stopped:
	case <-time.After(refusedPause):
	}
}

// stop lets every voter finish the vote that is on its way.
func (c *crowd) stop() {
	c.once.Do(func() { close(c.stopped) })
	c.voters.Wait()
}

// awaitMore waits until so many more votes have been acknowledged.
func (c *crowd) awaitMore(t *testing.T, votes int) {
	t.Helper()
	from := c.history.Number(checker.Counted)
	testenv.Eventually(t, progressTimeout, func() error {
		if n := c.history.Number(checker.Counted) - from; n < votes {
			return fmt.Errorf("%d of %d votes acknowledged; refused or never sent: %d, unknown: %d",
				n, votes, c.history.Number(checker.None), c.history.Number(checker.Unknown))
		}
		return nil
	})
}

// awaitAttempts waits until so many more votes have been answered, in whatever way.
func (c *crowd) awaitAttempts(t *testing.T, votes int) {
	t.Helper()
	from := len(c.history.Attempts())
	testenv.Eventually(t, progressTimeout, func() error {
		if n := len(c.history.Attempts()) - from; n < votes {
			return fmt.Errorf("%d of %d votes answered", n, votes)
		}
		return nil
	})
}

// letter is a candidate of ballot main.
func letter(n int) string { return string(rune('A' + n%26)) }

// alternating lets every second voter fetch a ticket and vote with it until it is over, and the others take the newest.
// Voter n votes for the n-th letter. keyed gives every vote a key.
func alternating(keyed bool) func(int) turn {
	return func(n int) turn {
		var held voter.Ticket
		return func(ctx context.Context, v voter.Voter) (checker.Attempt, bool) {
			key := ""
			if keyed {
				key = voter.NewKey()
			}
			if n%2 == 0 {
				_, a := v.TicketAndVote(ctx, key, letter(n))
				return a, true
			}
			if held.Version == "" {
				ticket, err := v.GetTicket(ctx, v.Ballot)
				if err != nil {
					return checker.Attempt{Outcome: checker.None, Code: voter.Code(err)}, true
				}
				held = ticket
			}
			_, a := v.Vote(ctx, held, key, letter(n))
			if a.Outcome != checker.Counted {
				held = voter.Ticket{}
			}
			return a, true
		}
	}
}

// resolve sends every vote of which nobody knows the end again under its key, until it counts.
func resolve(t *testing.T, gateway *voter.Client, history *checker.History) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), progressTimeout)
	defer cancel()
	open := history.Unresolved()
	for _, a := range open {
		if !(voter.Voter{Client: gateway, Ballot: a.Ballot, History: history}).Resolve(ctx, a) {
			t.Errorf("the vote under key %s for %v cannot be resolved", a.ID, a.Names)
		}
	}
	t.Logf("%d votes counted, %d refused or never sent, %d sent again because nobody knew",
		history.Number(checker.Counted), history.Number(checker.None), len(open))
}

// awaitTicket waits for a ticket other than the last one, so at the beginning of its window.
func awaitTicket(t *testing.T, gateway *voter.Client, ballot string, last string) voter.Ticket {
	t.Helper()
	var ticket voter.Ticket
	testenv.Eventually(t, progressTimeout, func() (err error) {
		if ticket, err = gateway.GetTicket(t.Context(), ballot); err != nil {
			return err
		}
		if ticket.Version == last {
			return fmt.Errorf("ticket %s is still the newest", last)
		}
		return nil
	})
	return ticket
}

// freshTicket waits for the beginning of a window.
func freshTicket(t *testing.T, gateway *voter.Client, ballot string) voter.Ticket {
	t.Helper()
	return awaitTicket(t, gateway, ballot, awaitTicket(t, gateway, ballot, "").Version)
}
