package pgledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/faultpoint"
)

// CastCode is what Cast decided about a vote; the words are those of the scripts in Redis.
type CastCode string

// The codes of a verdict.
const (
	CastOK         CastCode = "ok"
	CastExpired    CastCode = "expired"
	CastSuperseded CastCode = "superseded"
	CastExhausted  CastCode = "exhausted"
	CastClosed     CastCode = "closed"
	CastAhead      CastCode = "ahead"   // the key is a UUIDv7 of a time that has not come yet
	CastReused     CastCode = "reused"  // the key came before, with another body
	CastSame       CastCode = "same"    // the key came before, and its batch counts
	CastNames      CastCode = "names"   // the open list has no room for the vote's new names
	CastLimit      CastCode = "limit"   // the voter has as many votes that count as the ballot allows
	CastNoVoter    CastCode = "novoter" // the ballot limits votes per voter, and the vote has none
	CastNotOne     CastCode = "notone"  // the ballot limits votes per candidate, and the vote is not for one
	CastNoVote     CastCode = "novote"  // the voter has no such vote, or has taken it back
	// CastForgotten: the batch was decided before and this vote refused; nobody knows any more why.
	CastForgotten CastCode = "forgotten"
)

// keyAhead is how far ahead of the clock a key may be. Redis takes keys for young that were made a minute at most before
// its epoch, or after; half of that is left for the difference of the clocks.
const keyAhead = 30 * time.Second

// CastVote is a vote; or, with Retracts, a retraction; or, with Replaces too, a change: the vote with the id Retracts must be
// of the period of now and, where the limit is per candidate, for the same candidate.
type CastVote struct {
	ID         uuid.UUID // the key where there is one
	Keyed      bool
	BodyHash   [16]byte // with a key
	Ticket     string   // a ticket's value; empty stands for the newest. Of no meaning on a ballot without tickets
	Voter      string   // as authenticated, may be empty
	Label      string   // as claimed
	Candidates []string // one a choice; the same one may stand here twice
	Counts     []int64  // as long; negative in a retraction. In a change what it takes back, which is negative, stands first
	Retracts   uuid.UUID
	Replaces   bool
}

// retraction says that a vote takes back, and gives nothing.
func (v *CastVote) retraction() bool { return v.Retracts != uuid.Nil && !v.Replaces }

// candidate is the one that a vote is for; empty if it is for several.
func (v *CastVote) candidate() string {
	var one string
	for i, name := range v.Candidates {
		if v.Counts[i] < 0 && v.Replaces {
			continue
		}
		if one != "" && one != name {
			return ""
		}
		one = name
	}
	return one
}

// CastBatch is the votes of one transaction. They are all votes and changes or all retractions, and no key is in it twice.
type CastBatch struct {
	Epoch    int64
	ID       uuid.UUID // a UUIDv7
	Ballot   string
	MaxNames int64 // how many names an open list may grow to; 0 for a closed list
	Votes    []CastVote
}

// CastVerdict is what became of one vote.
type CastVerdict struct {
	Code      CastCode
	Batch     uuid.UUID // with CastSame
	Totals    []int64   // with CastOK: the count after each choice; nil when the batch had been decided before
	Admission int64     // with CastOK
}

// CastResult is a decision. If it accepts any vote, it is committed.
type CastResult struct {
	At            time.Time // the clock that decided, in whole milliseconds
	TicketVersion string    // of the newest ticket; empty if there is none
	Verdicts      []CastVerdict
}

// Cast decides the votes of a batch in an epoch in Postgres and gives the accepted ones their effect, all in one
// transaction: what admission and Apply are together in an epoch in Redis. Each ballot has one writer at a time.
//
// The errors are those of Apply, and ErrNotOpen. A batch whose COMMIT got no answer may be cast again, under the same id and
// in the same epoch: the second transaction waits for the end of the first, and if that took effect, it answers for the
// accepted votes again.
func Cast(ctx context.Context, pool *pgxpool.Pool, b CastBatch) (CastResult, error) {
	retractions := 0
	for _, v := range b.Votes {
		if len(v.Candidates) == 0 || len(v.Candidates) != len(v.Counts) {
			return CastResult{}, fmt.Errorf("pgledger: %d choices with %d counts", len(v.Candidates), len(v.Counts))
		}
		if v.retraction() {
			retractions++
		}
	}
	if retractions != 0 && retractions != len(b.Votes) {
		return CastResult{}, errors.New("pgledger: votes and retractions in one batch")
	}
	var result CastResult
	err := retry(ctx, func() error {
		c := &cast{CastBatch: b, retractions: retractions > 0}
		err := onConnection(ctx, pool, c)
		result = c.result
		return err
	})
	if err != nil {
		return CastResult{}, err
	}
	return result, nil
}

// cast is one attempt of Cast. The order of its steps is the order of its locks.
type cast struct {
	CastBatch
	retractions bool
	held        pgHeld
	seen        seen
	accepted    []int // indexes of Votes
	event       Event // of the accepted votes
	result      CastResult
}

func (c *cast) run(ctx context.Context, t tx) error {
	if err := c.held.take(ctx, t, c.Epoch, c.Ballot); err != nil {
		return err
	}
	if err := c.look(ctx, t); err != nil {
		return err
	}
	c.result.At = c.held.now
	if c.seen.batch {
		return c.remember(ctx, t)
	}
	c.decide()
	if len(c.accepted) == 0 {
		return errNothing
	}
	if err := c.write(ctx, t); err != nil {
		return err
	}
	faultpoint.Hit("cast.before-commit")
	return nil
}
