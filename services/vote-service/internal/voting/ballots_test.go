package voting

import (
	"log/slog"
	"testing"

	"github.com/littlevote/littlevote/libs/events"
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

// Until it is known which records the persisters read, votes of the newer kinds are refused: whoever is ready must know.
func TestReadyMeansThatVotesOfEveryKindAreTaken(t *testing.T) {
	e := &Engine{ballots: newBallots(nil, nil, nil)}
	if e.Ready(t.Context()) == nil {
		t.Error("ready without the ballots")
	}
	e.ballots.read = true
	if e.Ready(t.Context()) == nil {
		t.Error("ready without the format")
	}
	e.format.Store(events.Format)
	if err := e.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}
