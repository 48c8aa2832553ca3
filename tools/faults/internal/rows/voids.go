package rows

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"

	"github.com/littlevote/littlevote/libs/redisledger"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	"github.com/littlevote/littlevote/tools/internal/scope"
	"github.com/littlevote/littlevote/tools/internal/system"
)

func voidRows() []Row {
	return []Row{{
		Name: "F27", Kind: Change, Title: "votes of a closed ballot are voided, and whoever does it dies in between; then it is certified", Closed: true,
		Flags: map[system.Kind][]string{system.Vote: {"--reconcile-interval=1s"}},
		Sees:  "closed; no count shows half a void, and the result has none of the voided votes",
		Prepare: func(r *Run) {
			if r.dieByVoid = r.Random.IntN(2) == 0; r.dieByVoid {
				r.SetEnv("vote-service-0", "LITTLEVOTE_FAILPOINT=void.approved=exit:1")
			}
		},
		Happen: voiding, Judge: voided,
	}}
}

// voiding closes the ballot, and approves a void at a vote-service that dies of it.
func voiding(r *Run) {
	r.organise(func(ctx context.Context, c ballotv1.BallotServiceClient) error {
		_, err := c.CloseBallot(ctx, &ballotv1.CloseBallotRequest{Name: "main", Actor: "cli:faults"})
		return err
	})
	r.closedAt = time.Now()
	first := int64(1 + r.Random.IntN(30))
	void := &ballotv1.ProposeVoidRequest{
		Id: uuid.NewString(), Ballot: "main", FirstAdmissionNumber: first, LastAdmissionNumber: first + int64(r.Random.IntN(60)),
		Reason: "a fault", Actor: "cli:first",
	}
	r.organise(func(ctx context.Context, c ballotv1.BallotServiceClient) error {
		_, err := c.ProposeVoid(ctx, void)
		return err
	})
	r.void = void
	r.Crowd.Stop() // whose counts fall now, and are right
	victim := r.System.Service(system.Vote, 0)
	approving := make(chan struct{})
	go func() {
		defer close(approving)
		_ = r.approveAt(victim) // whether it comes back depends on when the service dies
	}()
	if r.dieByVoid {
		r.awaitFailpoint(victim)
	} else {
		r.Hold(r.Between(0, 100*time.Millisecond))
		victim.Kill()
	}
	<-approving
	if r.Random.IntN(2) == 0 {
		flush(r)
	}
	r.Restart(victim)
	if r.dieByVoid && r.Random.IntN(2) == 0 {
		r.Note("nobody approves again: the reconciler shows it")
		scope.Eventually(r, convergence, r.redisAgrees)
		return
	}
	for _, s := range r.System.Services(system.Vote) { // both, and again
		scope.Eventually(r, convergence, func() error { return r.approveAt(s) })
	}
}

// redisAgrees says of which candidate of main Redis counts what Postgres does not.
func (r *Run) redisAgrees() error {
	epoch := r.epoch()
	counts, _, err := r.System.Ledger.Tally(r.Context(), redisledger.Fence{Epoch: epoch.Number, NS: epoch.NS}, "main", nil)
	if err != nil {
		return err
	}
	for _, c := range counts {
		var votes int64
		err := r.System.Pool.QueryRow(r.Context(), "SELECT votes FROM user_votes WHERE ballot = 'main' AND username = $1", c.Name).Scan(&votes)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if votes != c.Votes {
			return fmt.Errorf("%d votes for %s in Redis, %d in Postgres", c.Votes, c.Name, votes)
		}
	}
	return nil
}

func (r *Run) approveAt(s *system.Service) error {
	conn, err := grpc.NewClient(s.Address, grpc.WithTransportCredentials(r.System.Credentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	_, err = ballotv1.NewBallotServiceClient(conn).ApproveVoid(ctx, &ballotv1.ApproveVoidRequest{
		Ballot: "main", Id: r.void.GetId(), Actor: "cli:second",
	})
	return err
}

// voided holds the ledger against the void: each vote of its range was taken out once, and no other.
func voided(r *Run) {
	inRange, gone := map[string]bool{}, map[string]bool{}
	for _, row := range r.ledger.Rows {
		switch {
		case row.Ballot != "main":
		case row.Void != "":
			gone[row.VoteID] = true
		case row.Retracts == "" && row.Admission >= r.void.GetFirstAdmissionNumber() && row.Admission <= r.void.GetLastAdmissionNumber():
			inRange[row.VoteID] = true
		}
	}
	if fmt.Sprint(gone) != fmt.Sprint(inRange) { // of maps in the order of their keys
		r.Errorf("%d votes are in the range of the void, and %d are taken out", len(inRange), len(gone))
	}
	r.Note("%d votes voided", len(gone))
	certified(r)
}
