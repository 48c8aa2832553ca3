package votes

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/littlevote/littlevote/gateway/internal/identity"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// retracting is a vote-service for retractions: it is given the number of the call, from 1.
type retracting struct {
	client
	retract func(call int64, request *votev1.RetractVoteRequest) (*votev1.Verdict, error)
	made    atomic.Int64
}

func (r *retracting) RetractVote(_ context.Context, request *votev1.RetractVoteRequest, opts ...grpc.CallOption) (*votev1.RetractVoteResponse, error) {
	verdict, err := r.retract(r.made.Add(1), request)
	for _, opt := range opts {
		if to, ok := opt.(grpc.PeerCallOption); ok && !errors.Is(err, errUnsent) {
			to.PeerAddr.Addr = &net.TCPAddr{}
		}
	}
	return &votev1.RetractVoteResponse{Verdict: verdict}, err
}

// What is said of a retraction, by what its calls came to. A dropped call may have taken the vote back, so that only good news of a second
// one is believed.
func TestRetract(t *testing.T) {
	dropped := status.Error(codes.Unavailable, "connection reset")
	key := uuid.NewString()
	type reply struct {
		verdict *votev1.Verdict
		err     error
	}
	good, gone, stopped := reply{verdict: counts()}, reply{verdict: refusal(statusv1.Code_CODE_VOTE_NOT_FOUND)()}, reply{verdict: refusal(statusv1.Code_CODE_UNAVAILABLE)()}
	for name, test := range map[string]struct {
		key     string
		replies []reply // the last one again and again
		code    statusv1.Code
		calls   int64 // 0: any number
	}{
		"at once":                  {replies: []reply{good}, code: statusv1.Code_CODE_OK, calls: 1},
		"refused":                  {replies: []reply{gone}, code: statusv1.Code_CODE_VOTE_NOT_FOUND, calls: 1},
		"after a moment":           {replies: []reply{stopped, good}, code: statusv1.Code_CODE_OK, calls: 2},
		"never sent":               {replies: []reply{{err: errUnsent}}, code: statusv1.Code_CODE_UNAVAILABLE},
		"dropped, no key":          {replies: []reply{{err: dropped}, good}, code: statusv1.Code_CODE_OUTCOME_UNKNOWN, calls: 1},
		"dropped, key":             {key: key, replies: []reply{{err: dropped}, good}, code: statusv1.Code_CODE_OK, calls: 2},
		"dropped, key, refused":    {key: key, replies: []reply{{err: dropped}, gone}, code: statusv1.Code_CODE_OUTCOME_UNKNOWN, calls: 2},
		"dropped twice":            {key: key, replies: []reply{{err: dropped}}, code: statusv1.Code_CODE_OUTCOME_UNKNOWN, calls: 2},
		"dropped, key, not there":  {key: key, replies: []reply{{err: dropped}, {err: errUnsent}}, code: statusv1.Code_CODE_OUTCOME_UNKNOWN},
		"an answer without a word": {replies: []reply{{}}, code: statusv1.Code_CODE_OUTCOME_UNKNOWN, calls: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := &retracting{retract: func(call int64, request *votev1.RetractVoteRequest) (*votev1.Verdict, error) {
					if request.GetVoter() != "user:1" || request.GetVoteId() != "id" || request.GetBallot() != "acme.song" || request.GetIdempotencyKey() != test.key {
						t.Errorf("%v", request)
					}
					is := test.replies[min(int(call), len(test.replies))-1]
					return is.verdict, is.err
				}}
				voter, _ := newVoter(t, config(), &service.client)
				voter.client = service
				defer voter.Close(t.Context())
				ctx := identity.With(t.Context(), &identity.Identity{Voter: "user:1"})
				verdict := voter.Retract(ctx, "acme.song", "id", test.key)
				if verdict.GetCode() != test.code || test.calls > 0 && service.made.Load() != test.calls {
					t.Errorf("%v after %d calls", verdict, service.made.Load())
				}
				definite := verdict.GetOutcome() == statusv1.Outcome_OUTCOME_NONE
				if definite != (test.code != statusv1.Code_CODE_OK && test.code != statusv1.Code_CODE_OUTCOME_UNKNOWN) {
					t.Errorf("outcome %v", verdict.GetOutcome())
				}
			})
		})
	}
}

func TestRetractionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		service := &retracting{retract: func(int64, *votev1.RetractVoteRequest) (*votev1.Verdict, error) {
			<-hold
			return counts(), nil
		}}
		voter, _ := newVoter(t, config(), &service.client)
		voter.client = service
		defer voter.Close(t.Context())
		ended := make(chan *votev1.Verdict, maxRetractions)
		for range maxRetractions {
			go func() { ended <- voter.Retract(t.Context(), "main", "id", "") }()
		}
		synctest.Wait()
		if one := voter.Retract(t.Context(), "main", "id", ""); one.GetCode() != statusv1.Code_CODE_OVERLOADED || !one.GetRetryable() {
			t.Errorf("%v", one)
		}
		close(hold)
		for range maxRetractions {
			if one := <-ended; one.GetCode() != statusv1.Code_CODE_OK {
				t.Errorf("%v", one)
			}
		}
	})
}
