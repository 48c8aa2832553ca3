package service

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/testenv"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
)

// who calls until a replica answers and names it.
func who(t *testing.T, client queryv1.QueryServiceClient) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	answer, err := client.GetTallies(ctx, &queryv1.GetTalliesRequest{}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetTallies()[0].GetBallot()
}

// seeBoth calls until both replicas have answered, and then expects that both get a good part of the calls.
func seeBoth(t *testing.T, client queryv1.QueryServiceClient) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for seen := map[string]bool{}; len(seen) < 2; {
		if time.Now().After(deadline) {
			t.Fatal("only one replica answers")
		}
		seen[who(t, client)] = true
	}
	counts := map[string]int{}
	for range 100 {
		counts[who(t, client)]++
	}
	if counts["one"] < 20 || counts["two"] < 20 { // By chance once in ten thousand million times.
		t.Errorf("calls by replica: %v, want about 50 each", counts)
	}
}

func TestListSpreadsCalls(t *testing.T) {
	one, two := start(t, answering("one"), config.TLS{}), start(t, answering("two"), config.TLS{})
	client := dial(t, one.Addr()+", "+two.Addr(), config.TLS{})
	seeBoth(t, client)

	two.stop()
	if err := receive(t, two.ended, "end of the second replica"); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if got := who(t, client); got != "one" {
			t.Fatalf("answer of %q, which has stopped", got)
		}
	}
}

// TestAFrozenReplicaGetsFewCalls: while the calls that it has wait for their deadlines, the others go past it.
func TestAFrozenReplicaGetsFewCalls(t *testing.T) {
	frozen := start(t, fake{read: func(ctx context.Context, _ *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}, config.TLS{})
	healthy := start(t, answering("healthy"), config.TLS{})
	client := dial(t, frozen.Addr()+","+healthy.Addr(), config.TLS{})
	const workers, calls, patience = 4, 2000, time.Second
	try := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := client.GetTallies(ctx, &queryv1.GetTalliesRequest{})
		return err
	}
	testenv.Eventually(t, 20*time.Second, try) // So the healthy one is connected.
	var left, late atomic.Int64
	left.Store(calls)
	var load sync.WaitGroup
	for range workers {
		load.Go(func() {
			for left.Add(-1) >= 0 && late.Load() <= calls/50 {
				if try() != nil {
					late.Add(1)
				}
			}
		})
	}
	load.Wait()
	if late.Load() > calls/50 {
		t.Errorf("%d of %d calls waited for the frozen replica, want 2%% at most", late.Load(), calls)
	}
}

func TestListChecksEachCertificate(t *testing.T) {
	ca := newAuthority(t)
	one, two := start(t, answering("one"), ca.issue(t, "one")), start(t, answering("two"), ca.issue(t, "two"))
	seeBoth(t, dial(t, one.Addr()+","+two.Addr(), ca.issue(t, "client")))
}

func TestReplicaComesBack(t *testing.T) {
	first := start(t, answering("one"), config.TLS{})
	client := dial(t, first.Addr(), config.TLS{})
	who(t, client)
	first.stop()
	receive(t, first.ended, "end")
	_, err := client.GetTallies(t.Context(), &queryv1.GetTalliesRequest{})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("error = %v, want Unavailable at once", err)
	}
	startAt(t, first.Addr(), answering("again"), config.TLS{})
	if got := who(t, client); got != "again" {
		t.Errorf("answer of %q", got)
	}
}

func TestDialRefusesTargets(t *testing.T) {
	for _, target := range []string{"", "a:1,b", "a:1,", "x y://%"} {
		if conn, err := Dial(target, nil); err == nil {
			_ = conn.Close()
			t.Errorf("Dial(%q) succeeded", target)
		}
	}
}

// TestNoRetries counts how often a failing call arrives.
func TestNoRetries(t *testing.T) {
	arrived := make(chan struct{}, 10)
	server := start(t, fake{read: func(context.Context, *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
		arrived <- struct{}{}
		return nil, Error(14, overloaded(), "later")
	}}, config.TLS{})
	_, err := dial(t, server.Addr(), config.TLS{}).GetTallies(t.Context(), &queryv1.GetTalliesRequest{})
	if status.Code(err) != codes.Unavailable || len(arrived) != 1 {
		t.Errorf("%v after %d calls, want one", err, len(arrived))
	}
}

func TestDialDeadline(t *testing.T) {
	invoked := errors.New("invoked")
	invoke := func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > DefaultDeadline {
			t.Errorf("deadline = %v, %v", deadline, ok)
		}
		return invoked
	}
	if err := withDeadline(t.Context(), "", nil, nil, nil, invoke); !errors.Is(err, invoked) {
		t.Errorf("error = %v", err)
	}
}
