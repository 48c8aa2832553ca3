package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/tools/e2e/internal/fixture"
	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/system"
	"github.com/littlevote/littlevote/tools/internal/voter"
)

// TestVoting is what voters do while nothing goes wrong: two gateways, two of every service, one set of counts.
func TestVoting(t *testing.T) {
	s := fixture.Start(t, system.Config{Replicas: 2, Flags: map[system.Kind][]string{
		system.Ticket: {"--ballots-cast-ticket-cap=2"},
	}})
	history := &checker.History{}
	for _, test := range []struct {
		name string
		run  func(*testing.T, *system.System, *checker.History)
	}{
		{"a vote goes all the way", voteGoesAllTheWay},
		{"S10 refusals say why and leave no trace", refusalsSayWhy},
		{"S16 the last use of a ticket", lastUse},
		{"S38 a read right after the answer agrees", readsAgree},
		{"S38 a read is never older than an answer, with many voters", readsAreNeverOlder},
		{"the same key 100 times at once", sameKeyAtOnce},
		{"keys", keys},
		{"S12 S13 one ticket every 2 s", oneTicketEveryTwoSeconds},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, s, history)
			s.Verify(t, s.Gateways[1], history)
		})
	}
}

func voteGoesAllTheWay(t *testing.T, s *system.System, history *checker.History) {
	v := voter.Voter{Client: s.Gateways[0], Ballot: "main", History: history}
	before := time.Now().Add(-time.Second)
	ticket := freshTicket(t, v.Client, "main")
	if ticket.RemainingUsages != 1000 || ticket.ExpiresAt.Sub(ticket.CreatedAt) != 2*time.Second || ticket.Value == "" {
		t.Errorf("ticket %+v, want 1000 uses within 2s", ticket)
	}
	answer, _ := v.Vote(t.Context(), ticket, "", "B", "A")
	want := voter.Answer{
		Success: true, Message: "投票成功", Usernames: []string{"B", "A"}, Code: "OK", Outcome: "COUNTED",
		Timestamp: answer.Timestamp, VoteID: answer.VoteID, Token: answer.Token,
		Totals: []voter.Count{{Ballot: "main", Username: "B", Votes: 1}, {Ballot: "main", Username: "A", Votes: 1}},
	}
	for i := range answer.Totals {
		want.Totals[i].UpdatedAt = answer.Totals[i].UpdatedAt
	}
	if diff := cmp.Diff(want, answer); diff != "" {
		t.Fatalf("answer (-want +got):\n%s", diff)
	}
	if answer.VoteID == "" || answer.Token == "" || answer.Timestamp.Before(before) || answer.Timestamp.After(time.Now().Add(time.Second)) {
		t.Errorf("vote id %q, token %q, timestamp %v", answer.VoteID, answer.Token, answer.Timestamp)
	}
	countsAfterFirstVote(t, v, before)
	inPostgres(t, s, ticket, answer.VoteID)
	if left := awaitTicket(t, v.Client, "main", "").RemainingUsages; left != 1000 && left != 999 {
		t.Errorf("%d uses left", left)
	}
}

func countsAfterFirstVote(t *testing.T, v voter.Voter, before time.Time) {
	t.Helper()
	counts, err := v.GetAllUserVotes(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	if len(counts) != 26 {
		t.Fatalf("%d counts", len(counts))
	}
	for i, c := range counts {
		votes := int64(0)
		if i < 2 {
			votes = 1
		}
		updated, err := time.Parse(time.RFC3339Nano, c.UpdatedAt)
		recent := updated.After(before) && updated.Before(time.Now().Add(time.Second))
		if c.Username != letter(i) || c.Votes != votes || err != nil || recent != (votes == 1) || votes == 0 && updated.Unix() != 0 {
			t.Errorf("count %+v at place %d", c, i)
		}
	}
	one, err := v.GetUserVotes(t.Context(), "main", "A")
	if err != nil || one != counts[0] {
		t.Errorf("getUserVotes: %+v, %v; getAllUserVotes: %+v", one, err, counts[0])
	}
}

// inPostgres waits for what promise G1 allows, and looks at the rows under their published names.
func inPostgres(t *testing.T, s *system.System, ticket voter.Ticket, id string) {
	t.Helper()
	testenv.Eventually(t, 5*time.Second, func() error {
		var rows, tallies, used, minted int
		err := s.Pool.QueryRow(t.Context(), `SELECT
			(SELECT count(*) FROM vote_logs WHERE vote_id = $1::uuid AND ballot = 'main' AND username IN ('A', 'B') AND delta = 1
				AND ticket_version = $2 AND voter = '' AND voted_at > now() - interval '1 minute'),
			(SELECT count(*) FROM user_votes WHERE ballot = 'main' AND username IN ('A', 'B') AND votes = 1 AND version > 0),
			(SELECT coalesce(sum(used), 0) FROM tickets WHERE ballot = 'main' AND version = $2),
			(SELECT count(*) FROM ticket_history WHERE ballot = 'main' AND version = $2 AND value = $3)`,
			id, ticket.Version, ticket.Value).Scan(&rows, &tallies, &used, &minted)
		if err != nil {
			return err
		}
		if rows != 2 || tallies != 2 || used != 1 || minted != 1 {
			return fmt.Errorf("%d rows, %d tallies, %d uses, %d tickets in the history", rows, tallies, used, minted)
		}
		return nil
	})
}

func refusalsSayWhy(t *testing.T, s *system.System, history *checker.History) {
	v := voter.Voter{Client: s.Gateways[0], Ballot: "main", History: history}
	ticket := freshTicket(t, v.Client, "main")
	other, forged := ticket, ticket
	other.Version = "9" + ticket.Version
	forged.Value = ticket.Value[:len(ticket.Value)-2] + "xx"
	for _, test := range []struct {
		name    string
		ticket  voter.Ticket
		names   []string
		code    string
		message string
	}{
		{"lower case", ticket, []string{"a"}, "INVALID_ARGUMENT", "用户名格式不正确（必须为A-Z）"},
		{"one bad name of two", ticket, []string{"A", "AA"}, "INVALID_ARGUMENT", "用户名格式不正确（必须为A-Z）"},
		{"no names", ticket, []string{}, "INVALID_ARGUMENT", "用户名列表不能为空"},
		{"another version", other, []string{"A"}, "TICKET_INVALID", "票据已过期或版本不匹配"},
		{"a forged value", forged, []string{"A"}, "TICKET_INVALID", "票据已过期或版本不匹配"},
	} {
		answer, a := v.Vote(t.Context(), test.ticket, "", test.names...)
		if answer.Success || a.Outcome != checker.None || answer.Code != test.code || answer.Message != test.message || len(answer.Totals) > 0 {
			t.Errorf("%s: %+v (%s)", test.name, answer, a.Code)
		}
	}
}

// lastUse votes on ballot cast, whose tickets have two uses here.
func lastUse(t *testing.T, s *system.System, history *checker.History) {
	v := voter.Voter{Client: s.Gateways[0], Ballot: "cast", History: history}
	ticket := freshTicket(t, v.Client, "cast")
	for range 2 {
		if answer, a := v.Vote(t.Context(), ticket, "", "anybody"); a.Outcome != checker.Counted {
			t.Fatalf("%+v (%s)", answer, a.Code)
		}
	}
	answer, a := v.Vote(t.Context(), ticket, "", "anybody")
	if a.Code != "TICKET_EXHAUSTED" || answer.Message != "票据使用次数已耗尽" || a.Outcome != checker.None {
		t.Errorf("%+v (%s)", answer, a.Code)
	}
	if _, err := v.GetTicket(t.Context(), "cast"); voter.Code(err) != "TICKET_EXHAUSTED" {
		t.Errorf("getTicket: %v", err)
	}
}

// readsAgree has no other voters, so that every count is known.
func readsAgree(t *testing.T, s *system.System, history *checker.History) {
	const name = "S"
	for n := int64(1); n <= 50; n++ {
		v := voter.Voter{Client: s.Gateways[n%2], Ballot: "main", History: history}
		answer, a := v.TicketAndVote(t.Context(), "", name)
		if a.Outcome != checker.Counted || len(answer.Totals) != 1 || answer.Totals[0].Votes != n {
			t.Fatalf("vote %d: %+v (%s)", n, answer, a.Code)
		}
		for i := range s.Gateways {
			// The other gateway first.
			gateway := s.Gateways[(n+1+int64(i))%2]
			count, err := gateway.GetUserVotes(t.Context(), "main", name)
			if err != nil || count.Votes != n || count.Stale {
				t.Fatalf("after vote %d a read says %+v, %v", n, count, err)
			}
		}
	}
}

func readsAreNeverOlder(t *testing.T, s *system.System, history *checker.History) {
	const name = "M"
	c := gather(t, s.Gateways, history, 12, func(n int) turn {
		return func(ctx context.Context, v voter.Voter) (checker.Attempt, bool) {
			answer, a := v.TicketAndVote(ctx, "", name)
			if a.Outcome != checker.Counted {
				return a, true
			}
			for _, gateway := range s.Gateways {
				count, err := gateway.GetUserVotes(ctx, "main", name)
				if err != nil || count.Votes < answer.Totals[0].Votes || count.Stale {
					t.Errorf("after a total of %d a read says %+v, %v", answer.Totals[0].Votes, count, err)
					return a, false
				}
			}
			return a, true
		}
	})
	c.awaitMore(t, 300)
	c.stop()
}

func sameKeyAtOnce(t *testing.T, s *system.System, history *checker.History) {
	const name, times = "K", 100
	freshTicket(t, s.Gateways[0], "main") // enough uses for all, should they take any
	key := voter.NewKey()
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range times {
		v := voter.Voter{Client: s.Gateways[i%2], Ballot: "main", History: history}
		all.Go(func() {
			<-start
			answer, a := v.TicketAndVote(context.WithoutCancel(t.Context()), key, name)
			if a.Outcome != checker.Counted || answer.VoteID != key || len(answer.Totals) != 1 || answer.Totals[0].Votes != 1 {
				t.Errorf("%+v (%s)", answer, a.Code)
			}
		})
	}
	close(start)
	all.Wait()
	if count, err := s.Gateways[0].GetUserVotes(t.Context(), "main", name); err != nil || count.Votes != 1 {
		t.Errorf("the count is %+v, %v", count, err)
	}
}

func keys(t *testing.T, s *system.System, history *checker.History) {
	const name = "L"
	v := voter.Voter{Client: s.Gateways[0], Ballot: "main", History: history}
	other := voter.Voter{Client: s.Gateways[1], Ballot: "main", History: history}
	fresh, random := voter.NewKey(), "7B2C9DAE-31F2-4C5E-9D0B-5C1E55A3B0AA" // one of version 4 tells nothing of its age
	votes := int64(0)
	for _, key := range []string{fresh, random} {
		votes++
		for range 3 {
			if answer, a := v.TicketAndVote(t.Context(), key, name); a.Outcome != checker.Counted || answer.VoteID != a.ID {
				t.Fatalf("key %s: %+v (%s)", key, answer, a.Code)
			}
			if _, a := other.TicketAndVote(t.Context(), key, "A"); a.Outcome != checker.None || a.Code != "KEY_REUSED" {
				t.Errorf("key %s with another body: %s %s", key, a.Outcome, a.Code)
			}
		}
		if count, err := v.GetUserVotes(t.Context(), "main", name); err != nil || count.Votes != votes {
			t.Errorf("after key %s the count is %+v, %v", key, count, err)
		}
	}
}

// oneTicketEveryTwoSeconds looks back at what the tests before it have lived through.
func oneTicketEveryTwoSeconds(t *testing.T, s *system.System, _ *checker.History) {
	for range 2 { // also when it runs alone
		freshTicket(t, s.Gateways[0], "main")
	}
	rows, err := s.Pool.Query(t.Context(), `
		SELECT version, value, cap, created_at, expires_at, lag(expires_at) OVER (ORDER BY created_at)
		FROM ticket_history WHERE ballot = 'main' ORDER BY created_at`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	tickets, values := 0, map[string]bool{}
	for rows.Next() {
		var (
			version, value   string
			limit            int64
			created, expires time.Time
			before           *time.Time
		)
		if err := rows.Scan(&version, &value, &limit, &created, &expires, &before); err != nil {
			t.Fatal(err)
		}
		tickets++
		values[value] = true
		if expires.Sub(created) != 2*time.Second || limit != 1000 || before != nil && !created.Equal(*before) {
			t.Errorf("ticket %s is valid from %v to %v and has %d uses; the one before it ended at %v", version, created, expires, limit, before)
		}
	}
	if err := rows.Err(); err != nil || tickets < 3 || len(values) != tickets {
		t.Errorf("%d tickets with %d values, %v", tickets, len(values), err)
	}
}

func TestS34VotesInPostgresEqualSuccesses(t *testing.T) {
	s := fixture.Start(t, system.Config{Replicas: 2, Flags: map[system.Kind][]string{system.Ticket: {"--ticket-cap=none"}}})
	history := &checker.History{}
	rows := 0
	for _, test := range []struct {
		name       string
		candidates []string
	}{
		{"one candidate", []string{"A"}},
		{"many candidates", []string{"B", "C", "D", "E", "F", "G", "H", "I"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := history.Number(checker.Counted)
			c := gather(t, s.Gateways, history, 32, func(n int) turn {
				return func(ctx context.Context, v voter.Voter) (checker.Attempt, bool) {
					_, a := v.TicketAndVote(ctx, "", test.candidates...)
					return a, true
				}
			})
			c.awaitMore(t, 1500)
			c.stop()
			ledger := s.Verify(t, s.Gateways[0], history)
			rows += (history.Number(checker.Counted) - before) * len(test.candidates)
			if len(ledger.Rows) != rows {
				t.Errorf("%d rows, want %d", len(ledger.Rows), rows)
			}
			if unknown := history.Number(checker.Unknown); unknown != 0 {
				t.Errorf("%d votes of which nobody knows", unknown)
			}
		})
	}
}
