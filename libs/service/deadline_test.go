package service

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/littlevote/littlevote/libs/config"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	"github.com/littlevote/littlevote/proto/gen/littlevote/query/v1/queryv1connect"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// Each hop leaves its caller a little time: 5 %, and at most 10 ms.
func TestCallsTakeLessThanTheirCallerHas(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ has, shaved time.Duration }{
		"long": {10 * time.Second, 10 * time.Millisecond}, "short": {100 * time.Millisecond, 5 * time.Millisecond}, "over": {-time.Second, 0},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), test.has)
		asked, _ := ctx.Deadline()
		var got time.Time
		err := withDeadline(ctx, "", nil, nil, nil, func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
			got, _ = ctx.Deadline()
			return nil
		})
		cancel()
		// A part of a short time is over when it is measured, so a little less is shaved then.
		if shaved := asked.Sub(got); err != nil || shaved > test.shaved || shaved < test.shaved/2 {
			t.Errorf("%s: %v of %v were shaved off, want %v; %v", name, shaved, test.has, test.shaved, err)
		}
	}
}

// A call whose time is over is not begun, and its caller may rely on that.
func TestCallThatIsTooLateIsNotBegun(t *testing.T) {
	var calls atomic.Int64
	server := start(t, counting(&calls), config.TLS{})
	client := queryv1connect.NewQueryServiceClient(late{httpClient(t, false, config.TLS{})}, "http://"+server.Addr())
	_, err := client.GetTallies(t.Context(), &queryv1.GetTalliesRequest{})
	wantDetail(t, err, &statusv1.ErrorDetail{Code: statusv1.Code_CODE_UNAVAILABLE, Outcome: statusv1.Outcome_OUTCOME_NONE, Retryable: true})
	if calls.Load() != 0 {
		t.Error("it was begun")
	}
}

// late sends every call with a deadline that is over.
type late struct{ *http.Client }

func (l late) Do(r *http.Request) (*http.Response, error) {
	r.Header.Set("Connect-Timeout-Ms", "0")
	return l.Client.Do(r)
}

// Health is answered while every call that the service has taken is stuck.
func TestHealthIsAnsweredUnderOverload(t *testing.T) {
	const stuck = 500
	var entered sync.WaitGroup
	entered.Add(stuck)
	leave := make(chan struct{})
	server := start(t, fake{read: func(context.Context, *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
		entered.Done()
		<-leave
		return &queryv1.GetTalliesResponse{}, nil
	}}, config.TLS{})
	conn, err := Dial(server.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var calls sync.WaitGroup
	for range stuck {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), MaxDeadline)
			defer cancel()
			if _, err := queryv1.NewQueryServiceClient(conn).GetTallies(ctx, &queryv1.GetTalliesRequest{}, grpc.WaitForReady(true)); err != nil {
				t.Errorf("a call that was stuck: %v", err)
			}
		})
	}
	entered.Wait()
	begin := time.Now()
	answer, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}) // on the same connection
	if err != nil || answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("gRPC health: %v, %v", answer, err)
	}
	for _, path := range []string{"/readyz", "/livez"} {
		if code, body := get(t, "http://"+server.Addr()+path); code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("three probes took %v", took)
	}
	close(leave)
	calls.Wait()
}
