package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/tools/e2e/internal/fixture"
	"github.com/littlevote/littlevote/tools/internal/voter"
)

// castClient sends what CAST's own client sends, at the port that it knows.
type castClient struct {
	*voter.Client
	t *testing.T
}

type castTicket struct {
	Ticket         string
	ValidUntil     string
	RemainingUsage int
}

type castResult struct {
	Success   bool
	Message   string
	Usernames []string
	Votes     []int
}

func (c castClient) ticket() castTicket {
	c.t.Helper()
	var data struct{ Cas castTicket }
	if err := c.Do(c.t.Context(), "query GetTicket { cas { ticket validUntil remainingUsage } }", map[string]any{}, &data); err != nil {
		c.t.Fatal(err)
	}
	return data.Cas
}

// fresh waits for a ticket that nobody has used, right after a rotation, so that most of its time is left.
func (c castClient) fresh() castTicket {
	c.t.Helper()
	before, ticket := c.ticket(), castTicket{}
	testenv.Eventually(c.t, 20*time.Second, func() error {
		if ticket = c.ticket(); ticket.Ticket == before.Ticket || ticket.Ticket == "" {
			return errors.New("the ticket is the same")
		}
		return nil
	})
	return ticket
}

func (c castClient) vote(usernames []string, counts []int, ticket string) castResult {
	c.t.Helper()
	var data struct{ Vote castResult }
	err := c.Do(c.t.Context(), `mutation Vote($usernames: [String!]!, $voteCount: [Int!]!, $ticket: String!) {
		vote(usernames: $usernames, voteCount: $voteCount, ticket: $ticket) { success message usernames votes } }`,
		map[string]any{"usernames": usernames, "voteCount": counts, "ticket": ticket}, &data)
	if err != nil {
		c.t.Fatal(err)
	}
	return data.Vote
}

func (c castClient) query(username string) int {
	c.t.Helper()
	var data struct{ Query int }
	err := c.Do(c.t.Context(), "query QueryVotes($username: String!) { query(username: $username) }", map[string]any{"username": username}, &data)
	if err != nil {
		c.t.Fatal(err)
	}
	return data.Query
}

func (c castClient) want(got castResult, message string, usernames []string, votes ...int) {
	c.t.Helper()
	want := castResult{Success: len(votes) > 0, Message: message, Usernames: usernames, Votes: votes}
	if len(votes) == 0 {
		want.Votes = []int{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Errorf("answer (-want +got):\n%s", diff)
	}
}

const recorded = "Votes recorded successfully"

// The systems that this one stands in for, each with its own client's scenario, at an address of its own.
func TestS50S51S52PublishedClients(t *testing.T) {
	up := fixture.StartUp(t, "up", testenv.Dir(t),
		"--gateway-cast-listen", "127.0.0.1:0", "--gateway-tiny-listen", "127.0.0.1:0", "--ticket-lock", "ring",
		"--ballots-cast-ticket-interval", "4s") // 100 votes one after the other take their time where tests run
	for ballot, run := range map[string]func(*testing.T, *voter.Client, *fixture.Up){"cast": castClients, "tiny": tinyClients} {
		client := voter.NewClient(up.Addresses[ballot])
		t.Cleanup(client.Close)
		t.Run(ballot, func(t *testing.T) { run(t, client, up) })
	}
}

func castClients(t *testing.T, client *voter.Client, up *fixture.Up) {
	t.Run("S46 S47 S50 demo client", func(t *testing.T) { castDemo(castClient{client, t}, up) })
	t.Run("S51 test tool", func(t *testing.T) { castTool(castClient{client, t}) })
}

func castDemo(c castClient, up *fixture.Up) {
	ticket := c.fresh()
	if len(ticket.Ticket) != 64 || ticket.RemainingUsage != 100 {
		c.t.Errorf("%+v", ticket)
	}
	if _, err := time.ParseInLocation("2006-01-02T15:04:05", ticket.ValidUntil, time.Local); err != nil {
		c.t.Error(err)
	}
	names := []string{"alice", "bob", "charlie"}
	c.want(c.vote(names, []int{1, 2, 3}, ticket.Ticket), recorded, names, 1, 2, 3)
	counts := func() []int { return []int{c.query("alice"), c.query("bob"), c.query("charlie")} }
	if diff := cmp.Diff([]int{1, 2, 3}, counts()); diff != "" {
		c.t.Error(diff)
	}
	c.want(c.vote([]string{"alice"}, []int{1}, "invalid_ticket_123"), "Invalid ticket", []string{})
	c.want(c.vote(names, []int{1}, ticket.Ticket), "Vote count list must have the same length as usernames list", []string{})
	for n := 1; n <= 3; n++ {
		c.want(c.vote([]string{"repeated_user"}, []int{1}, ticket.Ticket), recorded, []string{"repeated_user"}, n)
	}
	if now := c.ticket(); now.Ticket != ticket.Ticket || now.RemainingUsage != 96 {
		c.t.Errorf("after four votes %+v", now)
	}
	next := c.fresh()
	c.want(c.vote([]string{"alice"}, []int{1}, ticket.Ticket), "Ticket expired", []string{})
	if diff := cmp.Diff([]int{1, 2, 3}, counts()); diff != "" {
		c.t.Error(diff)
	}
	c.want(c.vote([]string{"alice", "alice"}, []int{1, 2}, next.Ticket), recorded, []string{"alice", "alice"}, 2, 4)
	inViewOfCast(c.t, up)
}

// inViewOfCast looks into the database as CAST's check does: the first request has version 1, whatever it named.
func inViewOfCast(t *testing.T, up *fixture.Up) {
	t.Helper()
	type row struct {
		ID, Count, Version int
		Username           string
	}
	want := []row{{1, 4, 5, "alice"}, {2, 2, 1, "bob"}, {3, 3, 1, "charlie"}, {4, 3, 4, "repeated_user"}}
	testenv.Eventually(t, 10*time.Second, func() error {
		rows, err := up.Pool.Query(t.Context(), "SELECT id, count, version, username FROM votes")
		if err != nil {
			return err
		}
		got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("votes (-want +got):\n%s", diff)
		}
		return nil
	})
}

func castTool(c castClient) {
	const limit, concurrency = 100, 20
	first := c.ticket()
	ticket := c.fresh()
	if first.Ticket == ticket.Ticket || ticket.RemainingUsage != limit {
		c.t.Fatalf("%+v after %+v", ticket, first)
	}
	var mu sync.Mutex
	counts := map[string]int{}
	var slowest, all time.Duration
	var voters sync.WaitGroup
	for range concurrency {
		voters.Go(func() {
			name, count := fmt.Sprint("test_user_", 1+rand.IntN(5)), 1+rand.IntN(3)
			began := time.Now()
			got := c.vote([]string{name}, []int{count}, ticket.Ticket)
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			counts[name] += count
			slowest, all = max(slowest, took), all+took
			if !got.Success || got.Message != recorded || len(got.Votes) != 1 {
				c.t.Errorf("%+v", got)
			}
		})
	}
	voters.Wait()
	c.t.Logf("%d concurrent votes: %v on average, %v at most", concurrency, all/concurrency, slowest)
	const user = "usage_limit_test_user"
	for n := 1; n <= limit-concurrency; n++ {
		c.want(c.vote([]string{user}, []int{1}, ticket.Ticket), recorded, []string{user}, n)
	}
	c.want(c.vote([]string{user}, []int{1}, ticket.Ticket), "Ticket usage limit exceeded", []string{})
	if now := c.ticket(); now.Ticket == ticket.Ticket && now.RemainingUsage != 0 {
		c.t.Errorf("used up: %+v", now)
	}
	counts[user] = limit - concurrency
	for name, want := range counts {
		if got := c.query(name); got != want {
			c.t.Errorf("%s has %d votes, want %d", name, got, want)
		}
	}
}
