package gateway

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	ticketv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ticket/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// await polls until what is asked for is true.
func await(t testing.TB, what string, reached func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !reached() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestVotesAtTheSameMomentGoInOneCall(t *testing.T) {
	const many = 200
	behind := newServices(t)
	entered, release := make(chan struct{}, 1), make(chan struct{})
	var sizes []int
	behind.votes = func(_ context.Context, request *votev1.CastVotesRequest) (*votev1.CastVotesResponse, error) {
		sizes = append(sizes, len(request.GetVotes())) // one call at a time
		if len(sizes) == 1 {
			entered <- struct{}{}
			<-release
		}
		response := &votev1.CastVotesResponse{}
		for i, vote := range request.GetVotes() {
			if i%2 == 1 {
				response.Verdicts = append(response.Verdicts, refusedWith(statusv1.Code_CODE_BALLOT_CLOSED))
				response.Verdicts[i].Detail = vote.GetChoices()[0].GetCandidate()
				continue
			}
			response.Verdicts = append(response.Verdicts, counted(vote))
		}
		return response, nil
	}
	cfg := behind.config(t)
	cfg.Gateway.Votes.InFlight = 1
	gateway := start(t, cfg)
	var wait sync.WaitGroup
	wait.Go(func() { gateway.voteOnce("") })
	<-entered
	var mu sync.Mutex
	successes := 0
	for i := range many {
		wait.Go(func() {
			name := fmt.Sprintf("name-%d", i)
			got := gateway.ask(ticketAndVoteDocument, variables{"usernames": []string{name}, "ballot": "cast"}).field(t, "ticketAndVote")
			if got["success"] == true {
				if total := got["totals"].([]any)[0].(map[string]any)["username"]; total != name {
					t.Errorf("%s was given the answer of %v", name, total)
				}
				mu.Lock()
				defer mu.Unlock()
				successes++
			}
		})
	}
	await(t, "all votes wait", func() bool { return gateway.voter.Waiting() == many })
	close(release)
	wait.Wait()
	if len(sizes) != 2 || sizes[1] != many || successes != many/2 {
		t.Errorf("calls of %v votes, %d successes", sizes, successes)
	}
}

func TestReadsAtTheSameMomentAreOneCallAndEachAskedOnce(t *testing.T) {
	behind := newServices(t)
	entered, release := make(chan struct{}, 1), make(chan struct{})
	var asked [][]*queryv1.TallyRead
	behind.tallies = func(_ context.Context, request *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
		asked = append(asked, request.GetReads())
		if len(asked) == 1 {
			entered <- struct{}{}
			<-release
		}
		response := &queryv1.GetTalliesResponse{}
		for _, read := range request.GetReads() {
			response.Tallies = append(response.Tallies, tallyOf(read))
		}
		return response, nil
	}
	cfg := behind.config(t)
	cfg.Gateway.Reads.InFlight = 1
	gateway := start(t, cfg)
	const document = `query($n: String!) { getUserVotes(username: $n) { username votes } }`
	var wait sync.WaitGroup
	wait.Go(func() { gateway.ask(document, variables{"n": "A"}) })
	<-entered
	for i := range 100 {
		name := string(rune('A' + i%3))
		wait.Go(func() {
			if got := gateway.ask(document, variables{"n": name}).field(t, "getUserVotes"); got["username"] != name || got["votes"] != float64(name[0]) {
				t.Errorf("%s: %+v", name, got)
			}
		})
	}
	await(t, "all reads wait", func() bool { return gateway.tallies.Waiting() == 100 })
	close(release)
	wait.Wait()
	// A was on its way already, and is asked again: whoever came later may have seen a vote that the first answer lacks.
	if len(asked) != 2 || len(asked[1]) != 3 {
		t.Errorf("asked %v", asked)
	}
}

func TestTicketsAtTheSameMomentAreOneCallABallot(t *testing.T) {
	behind := newServices(t)
	entered, release := make(chan struct{}, 1), make(chan struct{})
	inner := behind.ticket
	behind.ticket = func(ctx context.Context, ballot string) (*ticketv1.Ticket, error) {
		if behind.ticketCalls.Load() == 1 {
			entered <- struct{}{}
			<-release
		}
		return inner(ctx, ballot)
	}
	cfg := behind.config(t)
	cfg.Gateway.Reads.InFlight = 1
	gateway := start(t, cfg)
	const document = `query($b: ID) { getTicket(ballot: $b) { value } }`
	var wait sync.WaitGroup
	wait.Go(func() { gateway.ask(document, nil) })
	<-entered
	keys := devKeys(t)
	for i := range 90 {
		ballot := []string{"main", "cast", "tiny"}[i%3]
		wait.Go(func() {
			value, _ := gateway.ask(document, variables{"b": ballot}).field(t, "getTicket")["value"].(string)
			if claims, err := keys.Verify(value); err != nil || claims.Ballot != ballot {
				t.Errorf("asked for a ticket of %s, got one of %s: %v", ballot, claims.Ballot, err)
			}
		})
	}
	await(t, "all reads wait", func() bool { return gateway.tickets.Waiting() == 90 })
	close(release)
	wait.Wait()
	if calls := behind.ticketCalls.Load(); calls != 4 {
		t.Errorf("%d calls, want one alone and one for each of three ballots", calls)
	}
}

func TestOneReadersCancellationFailsNobodyElse(t *testing.T) {
	behind := newServices(t)
	entered, release := make(chan context.Context, 2), make(chan struct{})
	behind.tallies = func(ctx context.Context, request *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
		entered <- ctx
		<-release
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return &queryv1.GetTalliesResponse{Tallies: []*queryv1.Tally{tallyOf(request.GetReads()[0])}}, nil
	}
	cfg := behind.config(t)
	cfg.Gateway.Reads.InFlight = 1
	gateway := start(t, cfg)
	const body = `{"query":"{ getUserVotes(username: \"A\") { votes } }"}`
	var wait sync.WaitGroup
	post := func(ctx context.Context) {
		wait.Go(func() {
			status, text, _, err := gateway.trySend(ctx, http.MethodPost, gateway.url, body, "Content-Type", "application/json")
			if ctx.Err() == nil && (err != nil || status != http.StatusOK || gateway.parse(text).Errors != nil) {
				t.Errorf("%d %s %v", status, text, err)
			}
		})
	}
	leaving, leave := context.WithCancel(t.Context())
	post(leaving)
	<-entered
	post(leaving)
	post(t.Context())
	await(t, "both wait", func() bool { return gateway.tallies.Waiting() == 2 })
	leave()
	close(release)
	wait.Wait()
}
