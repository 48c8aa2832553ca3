package gateway

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// voteOnce votes on the newest ticket, with a key or without.
func (r *running) voteOnce(key string) map[string]any {
	r.t.Helper()
	values := variables{"usernames": []string{"A"}}
	if key != "" {
		values["key"] = key
	}
	return r.ask(ticketAndVoteDocument, values).field(r.t, "ticketAndVote")
}

// outcomeIs checks what a vote without a verdict is told.
func outcomeIs(t *testing.T, got map[string]any, code, outcome string, retryable bool) {
	t.Helper()
	if got["success"] != false || got["code"] != code || got["outcome"] != outcome || got["retryable"] != retryable {
		t.Errorf("got %+v, want %s, %s, retryable %v", got, code, outcome, retryable)
	}
}

func TestNoConnectionIsUnavailable(t *testing.T) {
	cfg := newServices(t).config(t)
	cfg.Vote.Target = unusedAddress(t)
	gateway := start(t, cfg)
	got := gateway.voteOnce("")
	outcomeIs(t, got, "UNAVAILABLE", "NONE", true)
	if got["retryAfterMs"] == nil {
		t.Error("no retry-after")
	}
}

// A service that takes the connection and breaks it off may have done anything.
func TestABrokenCallIsUnknown(t *testing.T) {
	behind := newServices(t)
	cfg := behind.config(t)
	proxy := newProxy(t, cfg.Vote.Target)
	cfg.Vote.Target = proxy.address
	behind.votes = func(ctx context.Context, _ *votev1.CastVotesRequest) (*votev1.CastVotesResponse, error) {
		proxy.cut()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	gateway := start(t, cfg)
	got := gateway.voteOnce("")
	outcomeIs(t, got, "OUTCOME_UNKNOWN", "UNKNOWN", false)
	if got["message"] != "投票结果未知，可能已计入，请勿重复提交" || got["voteId"] == nil {
		t.Errorf("%+v", got)
	}
	if calls := behind.voteCalls.Load(); calls != 1 {
		t.Errorf("a vote without a key was sent %d times", calls)
	}
}

func TestAnErrorWithoutAWordIsUnknown(t *testing.T) {
	behind := newServices(t)
	behind.votes = func(context.Context, *votev1.CastVotesRequest) (*votev1.CastVotesResponse, error) {
		return nil, status.Error(codes.Internal, "internal")
	}
	gateway := behind.start(t)
	outcomeIs(t, gateway.voteOnce(""), "OUTCOME_UNKNOWN", "UNKNOWN", false)
	// One with a key is sent once more, and then the caller may go on.
	outcomeIs(t, gateway.voteOnce(uuid.NewString()), "OUTCOME_UNKNOWN", "UNKNOWN", true)
	if calls := behind.voteCalls.Load(); calls != 3 {
		t.Errorf("%d calls, want one for the first vote and two for the second", calls)
	}
}

func TestAVoteWithAKeyIsResolvedByTheSecondCall(t *testing.T) {
	behind := newServices(t)
	behind.votes = func(ctx context.Context, request *votev1.CastVotesRequest) (*votev1.CastVotesResponse, error) {
		if behind.voteCalls.Load() == 1 {
			return nil, status.Error(codes.Unavailable, "connection reset")
		}
		return &votev1.CastVotesResponse{Verdicts: []*votev1.Verdict{behind.vote(ctx, request.GetVotes()[0])}}, nil
	}
	gateway := behind.start(t)
	if got := gateway.voteOnce(uuid.NewString()); got["success"] != true {
		t.Errorf("%+v", got)
	}
}

// F1: the death of a vote-service in the middle of a call is hidden by the key, once it or another one is there.
func TestAKeyHidesADeath(t *testing.T) {
	behind := newServices(t)
	cfg := behind.config(t)
	proxy := newProxy(t, cfg.Vote.Target)
	cfg.Vote.Target = proxy.address
	behind.votes = func(ctx context.Context, request *votev1.CastVotesRequest) (*votev1.CastVotesResponse, error) {
		if behind.voteCalls.Load() == 1 {
			proxy.cut()
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return &votev1.CastVotesResponse{Verdicts: []*votev1.Verdict{behind.vote(ctx, request.GetVotes()[0])}}, nil
	}
	gateway := start(t, cfg)
	if got := gateway.voteOnce(uuid.NewString()); got["success"] != true || behind.voteCalls.Load() != 2 {
		t.Errorf("%+v after %d calls", got, behind.voteCalls.Load())
	}
}

// The first call may still be on its way, so a refusal of the second says nothing about it.
func TestARefusalOfTheSecondCallIsNotBelieved(t *testing.T) {
	behind := newServices(t)
	behind.votes = func(context.Context, *votev1.CastVotesRequest) (*votev1.CastVotesResponse, error) {
		if behind.voteCalls.Load() == 1 {
			return nil, status.Error(codes.Unavailable, "connection reset")
		}
		return &votev1.CastVotesResponse{Verdicts: []*votev1.Verdict{refusedWith(statusv1.Code_CODE_TICKET_EXHAUSTED)}}, nil
	}
	gateway := behind.start(t)
	outcomeIs(t, gateway.voteOnce(uuid.NewString()), "OUTCOME_UNKNOWN", "UNKNOWN", true)
}

func TestARefusedCallIsARefusalOfEachVote(t *testing.T) {
	behind := newServices(t)
	behind.votes = func(context.Context, *votev1.CastVotesRequest) (*votev1.CastVotesResponse, error) {
		return nil, grpcError(t, codes.ResourceExhausted, &statusv1.ErrorDetail{
			Code: statusv1.Code_CODE_OVERLOADED, Outcome: statusv1.Outcome_OUTCOME_NONE, Retryable: true,
			RetryAfter: durationpb.New(100 * time.Millisecond),
		})
	}
	gateway := behind.start(t)
	got := gateway.voteOnce("")
	outcomeIs(t, got, "OVERLOADED", "NONE", true)
	if got["retryAfterMs"] != 100.0 {
		t.Errorf("%+v", got)
	}
}

func TestAnAnswerThatDoesNotFitIsUnknown(t *testing.T) {
	behind := newServices(t)
	behind.votes = func(context.Context, *votev1.CastVotesRequest) (*votev1.CastVotesResponse, error) {
		return &votev1.CastVotesResponse{}, nil
	}
	gateway := behind.start(t)
	outcomeIs(t, gateway.voteOnce(""), "OUTCOME_UNKNOWN", "UNKNOWN", false)
}

func TestNoAnswerInTimeIsUnknown(t *testing.T) {
	behind := newServices(t)
	behind.votes = func(ctx context.Context, _ *votev1.CastVotesRequest) (*votev1.CastVotesResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	cfg := behind.config(t)
	cfg.Gateway.Votes.Timeout = 50 * time.Millisecond
	outcomeIs(t, start(t, cfg).voteOnce(uuid.NewString()), "OUTCOME_UNKNOWN", "UNKNOWN", true)
	// The request's own time may end first.
	cfg.Gateway.Votes.Timeout, cfg.Gateway.RequestTimeout = time.Second, 100*time.Millisecond
	outcomeIs(t, start(t, cfg).voteOnce(""), "OUTCOME_UNKNOWN", "UNKNOWN", false)
}

// A vote that still waits when its time is over was never sent, and that is certain.
func TestAVoteThatWasNotSentIsRefused(t *testing.T) {
	behind := newServices(t)
	entered, release := make(chan struct{}, 1), make(chan struct{})
	behind.votes = func(ctx context.Context, request *votev1.CastVotesRequest) (*votev1.CastVotesResponse, error) {
		if behind.voteCalls.Load() == 1 {
			entered <- struct{}{}
			<-release
		}
		response := &votev1.CastVotesResponse{}
		for _, vote := range request.GetVotes() {
			response.Verdicts = append(response.Verdicts, counted(vote))
		}
		return response, nil
	}
	cfg := behind.config(t)
	cfg.Gateway.Votes.InFlight, cfg.Gateway.RequestTimeout = 1, 300*time.Millisecond
	gateway := start(t, cfg)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer close(release)
	wait.Go(func() { gateway.voteOnce("") })
	<-entered
	outcomeIs(t, gateway.voteOnce(""), "OVERLOADED", "NONE", true)
	if calls := behind.voteCalls.Load(); calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

func TestAFullQueueRefusesAtOnce(t *testing.T) {
	behind := newServices(t)
	entered, release := make(chan struct{}, 10), make(chan struct{})
	behind.votes = func(_ context.Context, request *votev1.CastVotesRequest) (*votev1.CastVotesResponse, error) {
		entered <- struct{}{}
		<-release
		response := &votev1.CastVotesResponse{}
		for _, vote := range request.GetVotes() {
			response.Verdicts = append(response.Verdicts, counted(vote))
		}
		return response, nil
	}
	cfg := behind.config(t)
	cfg.Gateway.Votes.InFlight, cfg.Gateway.Votes.Queue = 1, 1
	gateway := start(t, cfg)
	answers := make(chan map[string]any, 3)
	var wait sync.WaitGroup
	wait.Go(func() { answers <- gateway.voteOnce("") })
	<-entered // one on its way; of two more, one waits and one is refused
	wait.Go(func() { answers <- gateway.voteOnce("") })
	wait.Go(func() { answers <- gateway.voteOnce("") })
	outcomeIs(t, <-answers, "OVERLOADED", "NONE", true)
	close(release)
	wait.Wait()
	for range 2 {
		if got := <-answers; got["success"] != true {
			t.Errorf("%+v", got)
		}
	}
}

// Votes that were taken in are answered before the gateway ends.
func TestStoppingAnswersWhatWasTaken(t *testing.T) {
	behind := newServices(t)
	entered, release := make(chan struct{}, 1), make(chan struct{})
	behind.votes = func(_ context.Context, request *votev1.CastVotesRequest) (*votev1.CastVotesResponse, error) {
		entered <- struct{}{}
		<-release
		return &votev1.CastVotesResponse{Verdicts: []*votev1.Verdict{counted(request.GetVotes()[0])}}, nil
	}
	cfg := behind.config(t)
	var answered map[string]any
	var wait sync.WaitGroup
	t.Run("serve", func(t *testing.T) {
		gateway := start(t, cfg)
		gateway.t = outer{t}
		wait.Go(func() { answered = gateway.voteOnce("") })
		<-entered
		// The cleanup of this part stops the gateway while the vote is under way.
		context.AfterFunc(drained(gateway), func() { close(release) })
	})
	wait.Wait()
	if answered["success"] != true {
		t.Errorf("%+v", answered)
	}
}

// drained ends when the gateway has begun to stop.
func drained(gateway *running) context.Context {
	ctx, done := context.WithCancel(context.Background())
	go func() {
		defer done()
		for !gateway.health.Report(ctx).Draining {
			time.Sleep(time.Millisecond) // polls: Health tells nobody
		}
	}()
	return ctx
}

// outer is a test whose context outlives it.
type outer struct{ testing.TB }

func (outer) Context() context.Context { return context.Background() }

// proxy passes connections on, until they are cut.
type proxy struct {
	address string
	close   func() // takes no more
	mu      sync.Mutex
	conns   []net.Conn
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: listener.Addr().String()}
	p.close = func() { listener.Close(); p.cut() }
	t.Cleanup(p.close)
	go func() {
		for {
			front, err := listener.Accept()
			if err != nil {
				return
			}
			back, err := net.Dial("tcp", target)
			if err != nil {
				front.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, front, back)
			p.mu.Unlock()
			go func() { _, _ = io.Copy(back, front) }()
			go func() { _, _ = io.Copy(front, back) }()
		}
	}()
	return p
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		conn.Close()
	}
	p.conns = nil
}

func TestManyLongVotesGoInSeveralCalls(t *testing.T) {
	behind := newServices(t)
	largest := make(chan int, 100)
	behind.votes = func(_ context.Context, request *votev1.CastVotesRequest) (*votev1.CastVotesResponse, error) {
		bytes := 0
		response := &votev1.CastVotesResponse{}
		for _, vote := range request.GetVotes() {
			for _, choice := range vote.GetChoices() {
				bytes += len(choice.GetCandidate())
			}
			response.Verdicts = append(response.Verdicts, counted(vote))
		}
		largest <- bytes
		return response, nil
	}
	cfg := behind.config(t)
	cfg.Gateway.Votes.InFlight, cfg.Gateway.Votes.Timeout, cfg.Gateway.RequestTimeout = 1, 30*time.Second, time.Minute
	gateway := start(t, cfg)
	names := make([]string, 64)
	for i := range names {
		names[i] = strings.Repeat("x", 256)
	}
	var wait sync.WaitGroup
	for range 150 {
		wait.Go(func() {
			got := gateway.ask(ticketAndVoteDocument, variables{"usernames": names, "ballot": "cast"}).field(t, "ticketAndVote")
			if got["success"] != true {
				t.Errorf("%v", got["code"])
			}
		})
	}
	wait.Wait()
	close(largest)
	for bytes := range largest {
		if bytes > 1<<20 {
			t.Errorf("a call of %d bytes", bytes)
		}
	}
}
