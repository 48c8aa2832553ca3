package votes

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// These tests run on a clock of their own (testing/synctest): what takes seconds here takes none.

// client is a vote-service: it is given the number of the call, from 1.
type client struct {
	votev1.VoteServiceClient
	calls  atomic.Int64
	answer func(ctx context.Context, call int64, votes []*votev1.Vote) ([]*votev1.Verdict, error)
}

// errUnsent is the failure of a call that was never put on a connection.
var errUnsent = status.Error(codes.Unavailable, "connection refused")

func (c *client) CastVotes(ctx context.Context, request *votev1.CastVotesRequest, opts ...grpc.CallOption) (*votev1.CastVotesResponse, error) {
	verdicts, err := c.answer(ctx, c.calls.Add(1), request.GetVotes())
	for _, opt := range opts {
		if to, ok := opt.(grpc.PeerCallOption); ok && err != errUnsent { //nolint:errorlint // this very value
			to.PeerAddr.Addr = &net.TCPAddr{}
		}
	}
	return &votev1.CastVotesResponse{Verdicts: verdicts}, err
}

// observed counts what a gate says.
type observed struct{ served, refused atomic.Int64 }

func (o *observed) Served(n int) { o.served.Add(int64(n)) }
func (o *observed) Refused()     { o.refused.Add(1) }

func config() Config {
	return Config{
		InFlight: 2, MaxBatch: 20, MaxQueue: 20_000, MaxWait: time.Second, Timeout: 5 * time.Second, Patience: 500 * time.Millisecond,
		TicketWait: 2 * time.Second, Retries: 5000,
	}
}

// newVoter starts a voter that the test must close before its bubble ends.
func newVoter(t *testing.T, cfg Config, c *client) (*Voter, *observed) {
	t.Helper()
	metrics, err := NewMetrics(noop.NewMeterProvider().Meter(""))
	if err != nil {
		t.Fatal(err)
	}
	seen := &observed{}
	return New(c, cfg, seen, metrics, slog.New(slog.DiscardHandler)), seen
}

func all(votes []*votev1.Vote, verdict func() *votev1.Verdict) []*votev1.Verdict {
	list := make([]*votev1.Verdict, len(votes))
	for i := range list {
		list[i] = verdict()
	}
	return list
}

func counts() *votev1.Verdict {
	return &votev1.Verdict{Code: statusv1.Code_CODE_OK, Outcome: statusv1.Outcome_OUTCOME_COUNTED}
}

// refusal is a verdict of this code.
func refusal(code statusv1.Code) func() *votev1.Verdict {
	return func() *votev1.Verdict {
		return &votev1.Verdict{
			Code: code, Outcome: statusv1.Outcome_OUTCOME_NONE, Retryable: true, RetryAfter: durationpb.New(100 * time.Millisecond),
		}
	}
}

func newest() Vote { return Vote{Ballot: "main", Candidates: []string{"A"}} }

func held() Vote {
	return Vote{Ballot: "main", Candidates: []string{"A"}, Ticket: &votev1.TicketRef{Value: "v", Version: "1.2.3"}}
}

func keyed() Vote {
	vote := newest()
	vote.Key = uuid.NewString()
	return vote
}
