package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/ticket"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	ticketv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ticket/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// services are the three services behind a gateway; a test replaces what it needs before it sends.
type services struct {
	ticketv1.UnimplementedTicketServiceServer
	votev1.UnimplementedVoteServiceServer
	queryv1.UnimplementedQueryServiceServer

	ticket  func(ctx context.Context, ballot string) (*ticketv1.Ticket, error)
	vote    func(ctx context.Context, vote *votev1.Vote) *votev1.Verdict
	votes   func(ctx context.Context, request *votev1.CastVotesRequest) (*votev1.CastVotesResponse, error)
	tally   func(read *queryv1.TallyRead) *queryv1.Tally
	tallies func(ctx context.Context, request *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error)
	status  func(request *votev1.GetVoteStatusRequest) (*votev1.GetVoteStatusResponse, error)
	contest *contest                  // nil: no ballots are kept
	asked   func(method, body string) // of every call, its message as JSON; may be nil

	ticketCalls, voteCalls, queryCalls, statusCalls atomic.Int64
}

func (s *services) GetVoteStatus(_ context.Context, request *votev1.GetVoteStatusRequest) (*votev1.GetVoteStatusResponse, error) {
	s.statusCalls.Add(1)
	return s.status(request)
}

func (s *services) intercept(ctx context.Context, request any, call *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if message, ok := request.(proto.Message); ok && s.asked != nil {
		s.asked(call.FullMethod, protojson.Format(message))
	}
	return next(ctx, request)
}

func (s *services) GetTicket(ctx context.Context, request *ticketv1.GetTicketRequest) (*ticketv1.GetTicketResponse, error) {
	s.ticketCalls.Add(1)
	found, err := s.ticket(ctx, request.GetBallot())
	if err != nil {
		return nil, err
	}
	return &ticketv1.GetTicketResponse{Ticket: found}, nil
}

func (s *services) CastVotes(ctx context.Context, request *votev1.CastVotesRequest) (*votev1.CastVotesResponse, error) {
	s.voteCalls.Add(1)
	if s.votes != nil {
		return s.votes(ctx, request)
	}
	response := &votev1.CastVotesResponse{}
	for _, vote := range request.GetVotes() {
		response.Verdicts = append(response.Verdicts, s.vote(ctx, vote))
	}
	return response, nil
}

func (s *services) GetTallies(ctx context.Context, request *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
	s.queryCalls.Add(1)
	if s.tallies != nil {
		return s.tallies(ctx, request)
	}
	response := &queryv1.GetTalliesResponse{}
	for _, read := range request.GetReads() {
		response.Tallies = append(response.Tallies, s.tally(read))
	}
	return response, nil
}

// devKeys are the keys of a gateway in development mode.
func devKeys(t testing.TB) *ticket.Keys {
	t.Helper()
	keys, err := ticket.Open("", true)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// The moments that the fakes know.
func decidedAt() time.Time { return time.Date(2026, 11, 21, 8, 0, 0, 123_000_000, time.UTC) }

// aToken has the form of a consistency token.
const aToken = "1.42.0193f2a45b6c7d8e9f00112233445566"

const decided = "2026-11-21T08:00:00.123Z"

// newServices returns fakes that say yes.
func newServices(t testing.TB) *services {
	keys := devKeys(t)
	return &services{
		ticket: func(_ context.Context, ballot string) (*ticketv1.Ticket, error) {
			claims := claimsNow(ballot)
			return &ticketv1.Ticket{
				Ballot: ballot, Value: keys.Mint(claims), Version: claims.Version(), RemainingUses: 998,
				CreatedAt: timestamppb.New(claims.IssuedAt), ExpiresAt: timestamppb.New(claims.ExpiresAt),
			}, nil
		},
		vote:  func(_ context.Context, vote *votev1.Vote) *votev1.Verdict { return counted(vote) },
		tally: tallyOf,
	}
}

func claimsNow(ballot string) ticket.Claims {
	now := time.Now().Truncate(time.Millisecond)
	return ticket.Claims{Ballot: ballot, Epoch: 1, Number: 7, Fence: 2, IssuedAt: now, ExpiresAt: now.Add(2 * time.Second)}
}

// counted is the verdict of a vote that counts; each candidate then has as many votes as its first letter's number.
func counted(vote *votev1.Vote) *votev1.Verdict {
	id := vote.GetIdempotencyKey()
	if id == "" {
		id = vote.GetVoteId()
	}
	verdict := &votev1.Verdict{
		Code: statusv1.Code_CODE_OK, Outcome: statusv1.Outcome_OUTCOME_COUNTED, VoteId: id, Token: aToken,
		DecidedAt: timestamppb.New(decidedAt()),
	}
	for _, choice := range vote.GetChoices() {
		verdict.Totals = append(verdict.Totals, &votev1.Total{Candidate: choice.GetCandidate(), Votes: int64(choice.GetCandidate()[0])})
	}
	return verdict
}

func refusedWith(code statusv1.Code) *votev1.Verdict {
	return &votev1.Verdict{Code: code, Outcome: statusv1.Outcome_OUTCOME_NONE, DecidedAt: timestamppb.New(decidedAt())}
}

// tallyOf knows A to Z on main, each with the number of its letter, and nobody elsewhere.
func tallyOf(read *queryv1.TallyRead) *queryv1.Tally {
	tally := &queryv1.Tally{
		Code: statusv1.Code_CODE_OK, Ballot: read.GetBallot(), Source: queryv1.Source_SOURCE_REDIS, AsOf: timestamppb.New(decidedAt()),
	}
	names := read.GetCandidates()
	if len(names) == 0 {
		for name := 'A'; name <= 'Z'; name++ {
			names = append(names, string(name))
		}
	}
	for _, name := range names {
		count := &queryv1.Count{Candidate: name}
		switch {
		case read.GetBallot() == "main" && len(name) != 1:
			return &queryv1.Tally{Code: statusv1.Code_CODE_INVALID_ARGUMENT, Ballot: read.GetBallot()}
		case read.GetBallot() == "main":
			count.Votes, count.UpdatedAt = int64(name[0]), timestamppb.New(decidedAt())
		case read.GetBallot() == "none":
			return &queryv1.Tally{Code: statusv1.Code_CODE_BALLOT_NOT_FOUND, Ballot: read.GetBallot()}
		}
		tally.Counts = append(tally.Counts, count)
	}
	return tally
}

// listen starts the fakes and returns their address.
func (s *services) listen(t testing.TB) string {
	t.Helper()
	return s.listenOn(t, "127.0.0.1:0")
}

func (s *services) listenOn(t testing.TB, address string) string {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(s.intercept),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}))
	ticketv1.RegisterTicketServiceServer(server, s)
	votev1.RegisterVoteServiceServer(server, s)
	queryv1.RegisterQueryServiceServer(server, s)
	if s.contest != nil {
		ballotv1.RegisterBallotServiceServer(server, s.contest)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// config is that of a gateway in front of the fakes.
func (s *services) config(t testing.TB) Config {
	cfg := DefaultConfig()
	cfg.Dev.Dev = true
	cfg.Listen = "127.0.0.1:0"
	address := s.listen(t)
	// Machines that run tests may be slow; and what a test sees of these it sets by itself.
	cfg.Gateway.Votes.Patience, cfg.Gateway.Votes.MaxWait, cfg.Gateway.Reads.MaxWait, cfg.Gateway.DrainWait = 30*time.Second, 30*time.Second, 30*time.Second, 0
	cfg.Ticket.Target, cfg.Vote.Target, cfg.Query.Target = address, address, address
	return cfg
}

// running is a gateway that serves until the test ends.
type running struct {
	*Service
	t   testing.TB
	url string
}

func (s *services) start(t testing.TB) *running {
	t.Helper()
	return start(t, s.config(t))
}

func start(t testing.TB, cfg Config) *running {
	t.Helper()
	return startOn(t, cfg, testHost(t))
}

func testHost(t testing.TB) service.Host {
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return service.Host{Tracer: tracenoop.Tracer{}, Log: log, Health: service.NewHealth(), Meter: noop.NewMeterProvider().Meter("test")}
}

func startOn(t testing.TB, cfg Config, host service.Host) *running {
	t.Helper()
	gateway, err := New(t.Context(), cfg, host)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- gateway.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return &running{Service: gateway, t: t, url: "http://" + gateway.Addr() + gateway.Path()}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(line []byte) (int, error) {
	w.t.Log(string(bytes.TrimSpace(line)))
	return len(line), nil
}

// answer is what GraphQL answers.
type answerJSON struct {
	Data   map[string]any `json:"data"`
	Errors []struct {
		Message    string         `json:"message"`
		Path       []any          `json:"path"`
		Extensions map[string]any `json:"extensions"`
	} `json:"errors"`
}

// field returns a root field's object.
func (a answerJSON) field(t testing.TB, name string) map[string]any {
	t.Helper()
	object, ok := a.Data[name].(map[string]any)
	if !ok {
		t.Fatalf("no object %s; errors %+v", name, a.Errors)
	}
	return object
}

// code is extensions.code of the only error.
func (a answerJSON) code(t testing.TB) string {
	t.Helper()
	if len(a.Errors) != 1 {
		t.Fatalf("got %+v, want one error", a)
	}
	code, _ := a.Errors[0].Extensions["code"].(string)
	return code
}

type variables map[string]any

// ask posts a document, and wants 200.
func (r *running) ask(query string, values variables, header ...string) answerJSON {
	r.t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": values})
	if err != nil {
		r.t.Fatal(err)
	}
	status, text, _ := r.send(http.MethodPost, r.url, string(body), append([]string{"Content-Type", "application/json"}, header...)...)
	if status != http.StatusOK {
		r.t.Fatalf("status %d: %s", status, text)
	}
	return r.parse(text)
}

func (r *running) parse(text string) answerJSON {
	r.t.Helper()
	var answer answerJSON
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		r.t.Fatalf("%v in %s", err, text)
	}
	return answer
}

// send makes any request; header holds names and values in turn.
func (r *running) send(method, url, body string, header ...string) (int, string, http.Header) {
	r.t.Helper()
	status, text, got, err := r.trySend(r.t.Context(), method, url, body, header...)
	if err != nil {
		r.t.Fatal(err)
	}
	return status, text, got
}

func (r *running) trySend(ctx context.Context, method, url, body string, header ...string) (int, string, http.Header, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewBufferString(body))
	if err != nil {
		return 0, "", nil, err
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), response.Header, err
}

// ticketInput is a ticket as a client sends it back.
func ticketInput(t testing.TB, claims ticket.Claims) variables {
	return variables{
		"value": devKeys(t).Mint(claims), "version": claims.Version(), "remainingUsages": 5,
		"expiresAt": claims.ExpiresAt.Format(time.RFC3339Nano), "createdAt": claims.IssuedAt.Format(time.RFC3339Nano),
	}
}

const (
	voteDocument = `mutation($input: VoteInput!) { vote(input: $input) {
		success message usernames timestamp code outcome retryable retryAfterMs voteId token totals { ballot username votes } } }`
	ticketAndVoteDocument = `mutation($usernames: [String!]!, $ballot: ID, $key: String) {
		ticketAndVote(usernames: $usernames, ballot: $ballot, idempotencyKey: $key) {
		success message usernames timestamp code outcome retryable retryAfterMs voteId token totals { ballot username votes } } }`
)

// unusedAddress is one where nobody listens.
func unusedAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
