package voteservice_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/libs/ticket"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// form is what the tickets of a built-in ballot look like.
func form(ballot string) ticket.Form {
	switch ballot {
	case "cast":
		return ticket.HMAC
	case "tiny":
		return ticket.UUID
	default:
		return ticket.Signed
	}
}

// on is a vote on a ballot, with a ticket of which only the value is known.
func on(ballot, value string) *votev1.Vote {
	v := vote(&votev1.TicketRef{Value: value}, "A")
	v.Ballot = ballot
	return v
}

// The tickets of cast and tiny are found by their value alone, in Redis and in Postgres.
func TestS43S56TicketsAreFoundByTheirValue(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	w.persist()
	others := map[string]string{"cast": strings.Repeat("0", 64), "tiny": uuid.NewString()}
	check := func(mint func(ballot string, limit int64, interval time.Duration) *votev1.TicketRef, count int64) {
		t.Helper()
		signed := mint("main", 10, time.Hour)
		for ballot, other := range others {
			ref := mint(ballot, 1, time.Hour)
			if !form(ballot).Fits(ref.GetValue()) {
				t.Fatalf("the ticket of %s is %q", ballot, ref.GetValue())
			}
			for _, value := range []string{"", "invalid_ticket_123", strings.ToUpper(ref.GetValue()), signed.GetValue()} {
				wantCode(t, s.cast(t, on(ballot, value))[0], statusv1.Code_CODE_TICKET_INVALID, statusv1.Outcome_OUTCOME_NONE)
			}
			wantCode(t, s.cast(t, on(ballot, other))[0], statusv1.Code_CODE_TICKET_SUPERSEDED, statusv1.Outcome_OUTCOME_NONE)
			wantCode(t, s.cast(t, on("main", ref.GetValue()))[0], statusv1.Code_CODE_TICKET_INVALID, statusv1.Outcome_OUTCOME_NONE)
			v := s.cast(t, on(ballot, ref.GetValue()))[0]
			wantCounted(t, v)
			if got := v.GetTotals()[0].GetVotes(); got != count {
				t.Errorf("%s has %d votes, want %d", ballot, got, count)
			}
			wantCode(t, s.cast(t, on(ballot, ref.GetValue()))[0], statusv1.Code_CODE_TICKET_EXHAUSTED, statusv1.Outcome_OUTCOME_NONE)
			others[ballot] = ref.GetValue() // an old one, in the next ledger
		}
	}
	check(w.mint, 1)
	w.hold()
	mint := w.mintInPostgres
	mint("main", 10, time.Hour)
	s.eventually(t, vote(nil, "A"))
	check(mint, 2)
}

// S41, S45: all candidates of a vote, each with its count, or none of them; the ticket loses one use, whatever they are.
func TestS41S45AVoteCountsForAllItsCandidatesOrNone(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	ref := w.mint("cast", 1, time.Hour)
	votes := make([]*votev1.Vote, 10)
	for i := range votes {
		votes[i] = on("cast", ref.GetValue())
		votes[i].Choices = []*votev1.Choice{{Candidate: "alice", Count: 1}, {Candidate: "bob", Count: 2}, {Candidate: "charlie", Count: 2147483647}}
	}
	bad := on("cast", ref.GetValue())
	bad.Choices = []*votev1.Choice{{Candidate: "alice", Count: 1}, {Candidate: "bob", Count: 0}}
	wantCode(t, s.cast(t, bad)[0], statusv1.Code_CODE_INVALID_ARGUMENT, statusv1.Outcome_OUTCOME_NONE)
	counted := 0
	for _, v := range s.cast(t, votes...) {
		if v.GetCode() == statusv1.Code_CODE_OK {
			counted++
			continue
		}
		wantCode(t, v, statusv1.Code_CODE_TICKET_EXHAUSTED, statusv1.Outcome_OUTCOME_NONE)
	}
	a, b, c := w.live("cast", "alice"), w.live("cast", "bob"), w.live("cast", "charlie")
	if counted != 1 || a != 1 || b != 2 || c != 2147483647 || w.left("cast") != 0 {
		t.Errorf("%d votes counted, for %d, %d and %d, and %d uses are left", counted, a, b, c, w.left("cast"))
	}
}

func TestS42TheVoterOfAVoteIsRecordedAsClaimed(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	w.persist()
	ref := w.mint("cast", 10, time.Hour)
	for _, label := range []string{"eve", ""} {
		v := on("cast", ref.GetValue())
		v.VoterLabel = label
		verdict := s.cast(t, v)[0]
		wantCounted(t, verdict)
		testenv.Eventually(t, 20*time.Second, func() error {
			var claimed string
			var known *string
			err := w.pool.QueryRow(t.Context(), "SELECT voter, voter_id FROM vote_logs WHERE ballot = 'cast' AND vote_id = $1",
				verdict.GetVoteId()).Scan(&claimed, &known)
			if err == nil && (claimed != label || known != nil) {
				t.Errorf("recorded as %q, known as %v", claimed, known)
			}
			return err
		})
	}
}
