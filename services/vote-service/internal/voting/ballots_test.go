package voting

import (
	"log/slog"
	"testing"

	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// F1: a vote-service that has just come back does not know yet which ballots there are; that is no answer to a good vote.
func TestWhoKnowsNoBallotsYetDoesNotSayThatThereIsNone(t *testing.T) {
	ballots := newBallots(nil, nil, slog.New(slog.DiscardHandler))
	request := &votev1.Vote{Ballot: "main", Choices: []*votev1.Choice{{Candidate: "A", Count: 1}}}
	if _, r := validate(request, ballots, nil); r == nil || r.code != refusedAway.code || !r.retryable {
		t.Errorf("before the ballots are read: %+v", r)
	}
	ballots.read = true
	if _, r := validate(request, ballots, nil); r == nil || r.code != refusedNoBallot.code {
		t.Errorf("afterwards: %+v", r)
	}
}
