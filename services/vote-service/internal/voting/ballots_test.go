package voting

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/testenv"
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

// slowStore has no ballots, and says so once it may.
type slowStore struct {
	Store

	may          chan struct{}
	asked, names atomic.Int64
}

func (s *slowStore) BallotsNamed(_ context.Context, names []string) ([]pgledger.Ballot, error) {
	s.asked.Add(1)
	s.names.Add(int64(len(names)))
	<-s.may
	return nil, nil
}

// Ballots that are not there cost Postgres one statement for all who wait for it.
func TestBallotsThatAreNotThereAreLookedForTogether(t *testing.T) {
	store := &slowStore{may: make(chan struct{})}
	d := newBallots(store, nil, slog.New(slog.DiscardHandler))
	defer d.look.asked.Close()
	var wg sync.WaitGroup
	const voters = 500
	for n := range voters {
		wg.Go(func() {
			if r := d.renew(t.Context(), fmt.Sprint("nowhere-", n)); r != nil {
				t.Errorf("%+v", r)
			}
		})
	}
	testenv.Eventually(t, 5*time.Second, func() error {
		if n := store.names.Load() + int64(d.look.asked.Waiting()); n != voters {
			return fmt.Errorf("%d wait", n)
		}
		return nil
	})
	close(store.may)
	wg.Wait()
	if n := store.asked.Load(); n > looks+1 {
		t.Errorf("Postgres was asked %d times", n)
	}
}
