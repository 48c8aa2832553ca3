package rows

import (
	"context"
	"time"

	"google.golang.org/grpc"

	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	"github.com/littlevote/littlevote/tools/faults/internal/load"
	"github.com/littlevote/littlevote/tools/internal/deps"
	"github.com/littlevote/littlevote/tools/internal/scope"
	"github.com/littlevote/littlevote/tools/internal/system"
)

// drainLimit is how long a process may take to stop when it is asked to.
const drainLimit = 10 * time.Second

func wholeRows() []Row {
	return []Row{
		{
			Name: "F21", Kind: Change, Title: "every process is stopped by SIGTERM and started again, one after the other", Silence: degraded,
			Sees: "no error that one retry does not hide", Happen: roll, Judge: unhelped,
		},
		{
			Name: "F22", Kind: Overload, Title: "five times the load that can be taken, for 8 s", Silence: degraded,
			Sees: "refusals that say when to come again, at once", Flags: narrow(), Prepare: slowKafka, Proxied: true, Alone: true,
			Happen: overload,
		},
		{
			Name: "F26", Kind: Change, Title: "the ballot is closed and certified while a vote-service and Kafka die", Closed: true,
			Sees: "closed; certifying waits or fails, and the result has every acknowledged vote", Happen: closing, Judge: certified,
		},
	}
}

func roll(r *Run) {
	for _, s := range r.System.All() {
		began := time.Now()
		s.Stop(r) // fails the run if it takes longer or does not end well
		if took := time.Since(began); took > drainLimit {
			r.Errorf("%s took %v to stop", s.ID(), took)
		}
		r.Restart(s)
		r.AwaitMore(10)
	}
}

func unhelped(r *Run) {
	if n := r.Crowd.Unhelped(); n > 0 {
		r.Errorf("%d votes were unknown even after a retry", n)
	}
}

// narrow makes the system small, so that five times what it can take is no work for the machine: batches and queues are those of
// the defaults, divided by 200.
func narrow() map[system.Kind][]string {
	return map[system.Kind][]string{
		system.Ticket:  {"--ticket-cap=none"},
		system.Vote:    {"--vote-batch-votes=5", "--vote-queue=100"},
		system.Gateway: {"--gateway-votes-batch=5", "--gateway-votes-queue=100"},
	}
}

// slowKafka bounds what a vote-service can do by the time that a record takes.
func slowKafka(r *Run) { r.ToKafka.Slow(r, 40*time.Millisecond) }

// overload measures what the system can take, then sends five times that, whatever it answers, and then measures again.
func overload(r *Run) {
	const span = 8 * time.Second
	peak := load.Closed(r.Context(), r.System.Gateways, r.Crowd.History, 100, span/2)
	storm := load.Open(r.Context(), r.System.Gateways, r.Crowd.History, 5*peak.Goodput(), span)
	r.Healed()
	after := load.Closed(r.Context(), r.System.Gateways, r.Crowd.History, 100, span/2)
	r.Note("peak %.0f/s; at five times the load %.0f/s, %.0f/s refused, refusals within %v (99 %%); afterwards %.0f/s",
		peak.Goodput(), storm.Goodput(), storm.PerSecond(storm.Refused), storm.RefusedP99.Round(time.Millisecond), after.Goodput())
	if storm.Refused == 0 || storm.Untyped > 0 {
		r.Errorf("%d refusals, %d without a code", storm.Refused, storm.Untyped)
	}
	r.timely("goodput under overload", storm.Goodput() >= 0.8*peak.Goodput())
	r.timely("refusals within 100 ms", storm.RefusedP99 <= 100*time.Millisecond)
	r.timely("goodput after the overload", after.Goodput() >= 0.8*peak.Goodput())
}

// closing closes the ballot in the middle of everything.
func closing(r *Run) {
	victim := r.System.Service(system.Vote, 0)
	victim.Kill()
	if r.Random.IntN(2) == 0 {
		r.Shared.Kill(r, deps.Kafka)
	}
	r.Hold(r.Between(0, time.Second))
	r.organise(func(ctx context.Context, c ballotv1.BallotServiceClient) error {
		_, err := c.CloseBallot(ctx, &ballotv1.CloseBallotRequest{Name: "main", Actor: "cli:faults"})
		return err
	})
	r.closedAt = time.Now()
	r.Hold(r.Between(0, 2*time.Second))
	r.Shared.Ensure(r, deps.Kafka)
	r.Restart(victim)
}

// organise calls the service of the organisers until it succeeds.
func (r *Run) organise(call func(context.Context, ballotv1.BallotServiceClient) error) {
	conn, err := grpc.NewClient(r.System.Service(system.Vote, 1).Address, grpc.WithTransportCredentials(r.System.Credentials()))
	if err != nil {
		r.Fatal(err)
	}
	defer conn.Close()
	client := ballotv1.NewBallotServiceClient(conn)
	scope.Eventually(r, convergence, func() error {
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
		defer cancel()
		return call(ctx, client)
	})
}

// certified asks for the result, which must be the sum of the ledger, and stay so.
func certified(r *Run) {
	var result *ballotv1.Result
	r.organise(func(ctx context.Context, c ballotv1.BallotServiceClient) error {
		response, err := c.CertifyBallot(ctx, &ballotv1.CertifyBallotRequest{Name: "main", Actor: "cli:faults"})
		result = response.GetResult()
		return err
	})
	counts := map[string]int64{}
	for _, row := range r.ledger.Rows {
		if row.Ballot != "main" {
			continue
		}
		counts[row.Username] += row.Delta
		if row.Void == "" && row.At.After(r.closedAt.Add(time.Second)) {
			r.Errorf("vote %s was admitted at %v, after the ballot was closed", row.VoteID, row.At)
		}
	}
	for _, c := range result.GetCounts() {
		if counts[c.GetCandidate()] != c.GetVotes() {
			r.Errorf("the result has %d votes for %s, the ledger %d", c.GetVotes(), c.GetCandidate(), counts[c.GetCandidate()])
		}
		delete(counts, c.GetCandidate())
	}
	for name, votes := range counts {
		if votes != 0 {
			r.Errorf("the result lacks %d votes for %s", votes, name)
		}
	}
}
