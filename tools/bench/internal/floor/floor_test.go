package floor

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/littlevote/littlevote/tools/bench/internal/operation"
	"github.com/littlevote/littlevote/tools/bench/internal/verify"
	"github.com/littlevote/littlevote/tools/bench/internal/voter"
	"github.com/littlevote/littlevote/tools/bench/internal/wire"
)

// Every document of the benchmark is valid by the gateway's schema, and the floor says yes to each.
func TestTheFloorAnswersWhatTheBenchmarkAsks(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, listener) }()
	target, err := wire.ParseTarget(ctx, "http://"+listener.Addr().String()+"/graphql")
	if err != nil {
		t.Fatal(err)
	}

	permit, err := voter.NewPermit(ctx, target, 2, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if uses := permit.Ticket().RemainingUsages; uses != voter.NoCap {
		t.Errorf("the floor's ticket has %d uses, want no cap", uses)
	}
	for _, o := range operation.All() {
		crowd := voter.Crowd{Target: target, Operation: o, Names: 2, Timeout: 5 * time.Second}
		if o == operation.Vote {
			crowd.Permit = permit
		}
		client := crowd.Gather(1)[0]
		for range operation.Candidates {
			if answer := client.Do(ctx); answer.Kind != operation.Success {
				t.Errorf("%s: %+v", o, answer)
			}
		}
		client.Close()
	}
	permit.Close()
	answers := verify.NewAnswers(target, 5*time.Second)
	if counts, err := answers.Counts(ctx); err != nil || len(counts) != operation.Candidates {
		t.Errorf("counts %v, error %v", counts, err)
	}
	answers.Close()

	stop()
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
}
