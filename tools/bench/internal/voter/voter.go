package voter

import (
	"context"
	"time"

	"github.com/littlevote/littlevote/tools/bench/internal/operation"
	"github.com/littlevote/littlevote/tools/bench/internal/verify"
	"github.com/littlevote/littlevote/tools/bench/internal/wire"
)

// Crowd is what the voters of a run have in common.
type Crowd struct {
	Target    wire.Target
	Operation operation.Operation
	Names     int             // candidates in each vote
	Timeout   time.Duration   // of one answer
	Permit    *Permit         // for operation.Vote
	Account   *verify.Account // nil where nobody counts
}

// Voter sends one operation over one connection; it is a load.Client.
type Voter struct {
	crowd    Crowd
	conn     *wire.Conn
	requests [][]byte // nil for operation.Vote, whose requests come from the permit
	variant  int
	refused  *held // the ticket that was over when we came with it
}

// Gather makes so many voters, who begin with different candidates.
func (c Crowd) Gather(number int) []*Voter {
	var requests [][]byte
	if c.Operation != operation.Vote {
		requests = operation.Requests(c.Target, c.Operation, c.Names)
	}
	voters := make([]*Voter, number)
	for i := range voters {
		voters[i] = &Voter{crowd: c, conn: wire.NewConn(c.Target, c.Timeout), requests: requests, variant: i}
	}
	return voters
}

// Ready connects, and waits for the next ticket if the last one is over.
func (v *Voter) Ready(ctx context.Context) error {
	if err := v.conn.Connect(ctx); err != nil {
		return err
	}
	if v.refused == nil {
		return nil
	}
	select {
	case <-v.refused.replaced:
		v.refused = nil
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Do sends the next request.
func (v *Voter) Do(ctx context.Context) operation.Answer {
	requests := v.requests
	var ticket *held
	if v.crowd.Permit != nil {
		ticket = v.crowd.Permit.current.Load()
		requests = ticket.requests
	}
	v.variant++
	variant := v.variant % len(requests)

	raw, err := v.conn.Do(ctx, requests[variant])
	answer := operation.Judge(v.crowd.Operation, raw, err)
	if v.crowd.Account != nil && v.crowd.Operation.Writes() {
		v.crowd.Account.Add(variant, answer)
	}
	if ticket != nil && over(answer) {
		v.refused = ticket
		v.crowd.Permit.report(ticket)
	}
	return answer
}

// Close closes the connection.
func (v *Voter) Close() { v.conn.Close() }

// over tells whether an answer means that a vote needs another ticket.
func over(answer operation.Answer) bool {
	if answer.Kind != operation.Refused {
		return false
	}
	switch answer.Code {
	case "TICKET_EXPIRED", "TICKET_SUPERSEDED", "TICKET_EXHAUSTED", "TICKET_INVALID":
		return true
	}
	return false
}
