package gateway

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	ticketv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ticket/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

func refusedVote(message string) map[string]any {
	return map[string]any{"success": false, "message": message, "usernames": []any{}, "votes": []any{}}
}

func TestS36CasIsTheTicketOfNow(t *testing.T) {
	b := newBooth(t, nil)
	want := map[string]any{
		"ticket": castValue, "remainingUsage": float64(93),
		"validUntil": decidedAt().Add(1999 * time.Millisecond).Local().Format("2006-01-02T15:04:05"), // local, whole seconds, no zone
	}
	if diff := cmp.Diff(want, b.on("cast", castTicket, nil).field(t, "cas")); diff != "" {
		t.Error(diff)
	}
}

func TestS37S38VoteAnswersTheNewTotals(t *testing.T) {
	b := newBooth(t, nil)
	got := b.on("cast", castVote, variables{"usernames": []string{"alice", "bob", "alice"}, "voteCount": []int{1, 2, 2}, "ticket": castValue})
	want := map[string]any{
		"success": true, "message": "Votes recorded successfully",
		"usernames": []any{"alice", "bob", "alice"}, "votes": []any{1.0, 2.0, 3.0}, // each the total after it
	}
	if diff := cmp.Diff(want, got.field(t, "vote")); diff != "" {
		t.Error(diff)
	}
	for name, votes := range map[string]float64{"alice": 3, "bob": 2} {
		if got := b.on("cast", castQuery, variables{"username": name}).Data["query"]; got != votes {
			t.Errorf("%s has %v at once, want %v", name, got, votes)
		}
	}
	vote := b.voted()
	if vote.GetBallot() != "cast" || vote.GetTicket().GetValue() != castValue || vote.GetVoterLabel() != "" || vote.GetVoter() != "" {
		t.Errorf("sent %v", vote)
	}
}

func TestS39S40RefusalsAreDataInThePublishedWords(t *testing.T) {
	for code, message := range map[statusv1.Code]string{
		statusv1.Code_CODE_TICKET_INVALID:    "Invalid ticket",
		statusv1.Code_CODE_TICKET_SUPERSEDED: "Invalid ticket",
		statusv1.Code_CODE_TICKET_EXPIRED:    "Ticket expired",
		statusv1.Code_CODE_TICKET_EXHAUSTED:  "Ticket usage limit exceeded",
		statusv1.Code_CODE_BALLOT_CLOSED:     "The ballot is not open",
		statusv1.Code_CODE_OVERLOADED:        "The system is busy: try again later",
		statusv1.Code_CODE_UNAVAILABLE:       "The service is not available now: try again later",
		statusv1.Code_CODE_OUTCOME_UNKNOWN:   "The outcome is unknown: the vote may count, so do not repeat it",
		statusv1.Code_CODE_INTERNAL:          "Internal error",
	} {
		t.Run(code.String(), func(t *testing.T) {
			b := newBooth(t, func(s *services) {
				s.vote = func(context.Context, *votev1.Vote) *votev1.Verdict { return refusedWith(code) }
			})
			got := b.on("cast", castVote, variables{"usernames": []string{"alice"}, "voteCount": []int{1}, "ticket": castValue})
			if diff := cmp.Diff(refusedVote(message), got.Data["vote"]); diff != "" || got.Errors != nil {
				t.Errorf("%s %v", diff, got.Errors)
			}
		})
	}
}

func TestS39S41S74WhatIsRefusedHereTakesNoUse(t *testing.T) {
	b := newBooth(t, nil)
	many := make([]string, 65)
	for name, c := range map[string]struct {
		values  variables
		message string
	}{
		"no ticket":        {variables{"usernames": []string{"a"}, "voteCount": []int{1}, "ticket": ""}, "Invalid ticket"},
		"not ours":         {variables{"usernames": []string{"a"}, "voteCount": []int{1}, "ticket": "invalid_ticket_123"}, "Invalid ticket"},
		"the ticket first": {variables{"usernames": []string{"a"}, "voteCount": []int{}, "ticket": "x"}, "Invalid ticket"},
		"too few counts":   {variables{"usernames": []string{"a", "b"}, "voteCount": []int{1}, "ticket": castValue}, "Vote count list must have the same length as usernames list"},
		"too many counts":  {variables{"usernames": []string{"a"}, "voteCount": []int{1, 1}, "ticket": castValue}, "Vote count list must have the same length as usernames list"},
		"none":             {variables{"usernames": []string{"a"}, "voteCount": []int{0}, "ticket": castValue}, "Vote counts must be 1 to 2147483647"},
		"negative":         {variables{"usernames": []string{"a", "b"}, "voteCount": []int{1, -1}, "ticket": castValue}, "Vote counts must be 1 to 2147483647"},
		"nobody":           {variables{"usernames": []string{}, "voteCount": []int{}, "ticket": castValue}, "There must be 1 to 64 usernames"},
		"too many":         {variables{"usernames": many, "voteCount": make([]int, 65), "ticket": castValue}, "There must be 1 to 64 usernames"},
	} {
		got := b.on("cast", castVote, c.values)
		if diff := cmp.Diff(refusedVote(c.message), got.Data["vote"]); diff != "" || got.Errors != nil {
			t.Errorf("%s: %s %v", name, diff, got.Errors)
		}
	}
	over := b.on("cast", castVote, variables{"usernames": []string{"a"}, "voteCount": []int64{1 << 31}, "ticket": castValue})
	if over.code(t) != "BAD_USER_INPUT" {
		t.Errorf("a count that is no Int: %+v", over)
	}
	if n := b.voteCalls.Load(); n != 0 {
		t.Errorf("%d calls to the vote service", n)
	}
}

func TestS41TheGreatestCount(t *testing.T) {
	b := newBooth(t, nil)
	values := variables{"usernames": []string{"a"}, "voteCount": []int64{1<<31 - 1}, "ticket": castValue}
	if got := b.on("cast", castVote, values).field(t, "vote"); got["success"] != true {
		t.Errorf("%v", got)
	}
	// The next one counts too, and no Int can say so.
	over := b.on("cast", castVote, values)
	if over.code(t) != "COUNT_OVERFLOW" || over.Errors[0].Extensions["outcome"] != "COUNTED" {
		t.Errorf("%+v", over)
	}
}

func TestS42TheVoterIsALabel(t *testing.T) {
	b := newBooth(t, nil)
	document := strings.Replace(castVote, "$ticket: String!)", "$ticket: String!, $voterUsername: String)", 1)
	document = strings.Replace(document, "ticket: $ticket)", "ticket: $ticket, voterUsername: $voterUsername)", 1)
	b.on("cast", document, variables{"usernames": []string{"a"}, "voteCount": []int{1}, "ticket": castValue, "voterUsername": "eve"}).field(t, "vote")
	if vote := b.voted(); vote.GetVoterLabel() != "eve" || vote.GetVoter() != "" {
		t.Errorf("sent %v", vote)
	}
}

// CAST's own client sends voterUsername without declaring it.
func TestS42VariablesThatAreNotDeclaredAreIgnored(t *testing.T) {
	b := newBooth(t, nil)
	got := b.on("cast", castVote, variables{"usernames": []string{"a"}, "voteCount": []int{1}, "ticket": castValue, "voterUsername": "eve"})
	if got.field(t, "vote")["success"] != true || got.Errors != nil || b.voted().GetVoterLabel() != "" {
		t.Errorf("%+v, sent %v", got, b.voted())
	}
}

// Who comes too late with a ticket that was handed out here is told so; the longer ago, the less is known, as in CAST.
func TestS40ATicketOfBeforeHasExpired(t *testing.T) {
	values := make([]string, 6)
	for i := range values {
		values[i] = strings.Repeat(string('a'+rune(i)), 64)
	}
	var now atomic.Int64
	b := newBooth(t, func(s *services) {
		s.ticket = func(_ context.Context, ballot string) (*ticketv1.Ticket, error) {
			return &ticketv1.Ticket{Ballot: ballot, Value: values[now.Load()], ExpiresAt: timestamppb.New(decidedAt())}, nil
		}
		s.vote = func(context.Context, *votev1.Vote) *votev1.Verdict {
			return refusedWith(statusv1.Code_CODE_TICKET_SUPERSEDED)
		}
	})
	for i := range int64(5) {
		now.Store(i)
		b.on("cast", castTicket, nil)
		b.on("cast", castTicket, nil)
	}
	for i, value := range values {
		want := map[bool]string{true: "Ticket expired", false: "Invalid ticket"}[i >= 2 && i < 5]
		got := b.on("cast", castVote, variables{"usernames": []string{"a"}, "voteCount": []int{1}, "ticket": value})
		if diff := cmp.Diff(refusedVote(want), got.Data["vote"]); diff != "" {
			t.Errorf("ticket %d: %s", i, diff)
		}
	}
}
