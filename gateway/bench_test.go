package gateway

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/littlevote/littlevote/gateway/graph/exec"
	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/engine"
	"github.com/littlevote/littlevote/gateway/internal/httpapi"
	"github.com/littlevote/littlevote/gateway/internal/overload"
	"github.com/littlevote/littlevote/gateway/internal/reads"
	"github.com/littlevote/littlevote/gateway/internal/resolver"
	"github.com/littlevote/littlevote/gateway/internal/votes"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// operations are what the benchmark sends: bodies by name.
func operations(b *testing.B) map[string]string {
	claims := claimsNow("main")
	claims.ExpiresAt = claims.ExpiresAt.Add(time.Hour)
	value := devKeys(b).Mint(claims)
	return map[string]string{
		"getTicket":       `{"query":"query { getTicket { value version remainingUsages expiresAt createdAt } }"}`,
		"getUserVotes":    `{"query":"query($u: String!) { getUserVotes(username: $u) { username votes updatedAt } }","variables":{"u":"A"}}`,
		"getAllUserVotes": `{"query":"{ getAllUserVotes { username votes updatedAt } }"}`,
		"vote": `{"query":"mutation($input: VoteInput!) { vote(input: $input) { success message usernames timestamp } }","variables":{"input":{"usernames":["A"],` +
			`"ticket":{"value":"` + value + `","version":"1.7.2","remainingUsages":100,"expiresAt":"2026-11-21T08:00:02Z","createdAt":"2026-11-21T08:00:00Z"}}}}`,
		"ticketAndVote": `{"query":"mutation($u: [String!]!) { ticketAndVote(usernames: $u) { success message usernames timestamp } }","variables":{"u":["A"]}}`,
	}
}

// constant answers everything at once: what is left is the way in and out.
type constant struct {
	vote   *model.UserVote
	all    []*model.UserVote
	ticket *model.Ticket
}

func newConstant() *constant {
	c := &constant{
		vote:   &model.UserVote{Ballot: "main", Username: "A", Count: 1234, UpdatedAt: decided, AsOf: decided},
		ticket: &model.Ticket{Value: "value", Version: "1.7.2", RemainingUsages: 998, ExpiresAt: decided, CreatedAt: decided},
	}
	for range 26 {
		c.all = append(c.all, c.vote)
	}
	return c
}

func (c *constant) Newest(context.Context, string) (*model.Ticket, error) { return c.ticket, nil }
func (c *constant) One(context.Context, string, string, string) (*model.UserVote, error) {
	return c.vote, nil
}
func (c *constant) All(context.Context, string, string) ([]*model.UserVote, error) { return c.all, nil }
func (c *constant) Many(context.Context, []reads.Candidate, func(int, *model.UserVote, error)) {
}

func (c *constant) Cast(context.Context, votes.Vote) *votev1.Verdict {
	return &votev1.Verdict{Code: statusv1.Code_CODE_OK, Outcome: statusv1.Outcome_OUTCOME_COUNTED}
}

func (c *constant) Retract(context.Context, string, string, string) *votev1.Verdict { return nil }

// bare is gqlgen's own handler as its documentation sets it up, with constant answers, on the same executor. The executor
// that gqlgen generates by itself makes about twice as much garbage; the program in tools/bench compares with that.
type bare struct {
	exec.MutationResolver // nil: nothing else is measured
	answers               *constant
}

func (r bare) Query() exec.QueryResolver                                 { return bareQuery{answers: r.answers} }
func (r bare) Mutation() exec.MutationResolver                           { return r }
func (r bare) Entities(context.Context, []map[string]any) []model.Entity { return nil }
func (r bare) Service() model.Service                                    { return model.Service{} }

// bareQuery is apart, since both roots have a field named vote.
type bareQuery struct {
	exec.QueryResolver // nil
	answers            *constant
}

func (r bareQuery) Vote(context.Context, string, *string) (*model.VoteStatus, error) {
	return &model.VoteStatus{}, nil
}

func (r bareQuery) GetTicket(context.Context, *string) (*model.Ticket, error) {
	return r.answers.ticket, nil
}
func (r bareQuery) GetUserVotes(context.Context, string, *string, *string) (*model.UserVote, error) {
	return r.answers.vote, nil
}

func (r bareQuery) GetAllUserVotes(context.Context, *string, *string) ([]*model.UserVote, error) {
	return r.answers.all, nil
}

func (r bare) Vote(_ context.Context, input model.VoteInput, _ *string) (*model.VoteResponse, error) {
	return &model.VoteResponse{Success: true, Message: "投票成功", Usernames: input.Usernames, Timestamp: decided}, nil
}

func (r bare) TicketAndVote(_ context.Context, usernames []string, _, _ *string) (*model.VoteResponse, error) {
	return &model.VoteResponse{Success: true, Message: "投票成功", Usernames: usernames, Timestamp: decided}, nil
}

func (r bare) Subscription() exec.SubscriptionResolver { return nil } // nothing is measured of it
func (r bare) Ballot() exec.BallotResolver             { return nil }
func (r bare) Post() exec.PostResolver                 { return nil }
func (r bare) User() exec.UserResolver                 { return nil }

type unobserved struct{}

func (unobserved) Request(context.Context, httpapi.Asked, time.Duration)      {}
func (unobserved) Subscription(context.Context, httpapi.Begun, time.Duration) {}

// BenchmarkFront compares the way in and out of the gateway with bare gqlgen, without any service behind.
func BenchmarkFront(b *testing.B) {
	settings := DefaultConfig().Gateway
	log := slog.New(slog.DiscardHandler)
	texts := answer.NewTexts()
	fakes := newConstant()
	schema := exec.New(resolver.New(resolver.Config{
		Tickets: fakes, Tallies: fakes, Voter: fakes, Keys: devKeys(b), Texts: texts, Now: time.Now,
	}))
	ours := httpapi.New(engine.New(schema, settings.engineConfig(answer.Chinese), texts, log), settings.httpConfig(), overload.NewDoor(), unobserved{}, log)
	floor := handler.New(exec.New(bare{answers: fakes}))
	floor.AddTransport(transport.POST{})
	floor.SetQueryCache(lru.New[*ast.QueryDocument](1000))
	for name, body := range operations(b) {
		b.Run(name+"/bare", func(b *testing.B) { drive(b, floor, body) })
		b.Run(name+"/gateway", func(b *testing.B) { drive(b, ours, body) })
	}
}

// BenchmarkGateway goes all the way to services over loopback, with as many requests at once as `-cpu` and this factor say.
func BenchmarkGateway(b *testing.B) {
	const atOnce = 100
	gateway := newServices(b).start(b)
	for name, body := range operations(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(atOnce)
			b.RunParallel(func(loop *testing.PB) {
				for loop.Next() {
					once(b, gateway.server.Handler, body)
				}
			})
		})
	}
}

func drive(b *testing.B, handler http.Handler, body string) {
	b.ReportAllocs()
	for b.Loop() {
		once(b, handler, body)
	}
}

// writer is a http.ResponseWriter that costs next to nothing.
type writer struct {
	header http.Header
	status int
	body   []byte
}

func (w *writer) Header() http.Header    { return w.header }
func (w *writer) WriteHeader(status int) { w.status = status }
func (w *writer) Write(body []byte) (int, error) {
	w.body = body
	return len(body), nil
}

func once(b *testing.B, handler http.Handler, body string) {
	request := &http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: "/graphql"}, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader([]byte(body))), ContentLength: int64(len(body)),
	}
	request = request.WithContext(context.Background())
	answer := &writer{header: make(http.Header, 4)}
	handler.ServeHTTP(answer, request)
	if bytes.Contains(answer.body, []byte(`"errors"`)) || answer.status > http.StatusOK {
		b.Errorf("%d %s", answer.status, answer.body)
	}
}
