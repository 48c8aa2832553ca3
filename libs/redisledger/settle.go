package redisledger

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Settlement asks to settle a batch.
type Settlement struct {
	Fence      Fence // of the epoch it was admitted in
	ID         uuid.UUID
	Ballot     string
	AdmittedAt time.Time
	Names      []string // the candidates …
	Counts     []int64  // … and what they get
}

// How says what became of a batch.
type How string

// The ends of a batch.
const (
	Settled  How = "S"
	Refunded How = "R"
	Unknown  How = "" // Redis remembers neither
)

// Settlements's reply: Totals stand in the order of Names, read after the batch was in.
type SettleReply struct {
	How    How
	ByThis bool // this very call settled it, so Totals include exactly what was admitted before it
	Totals []int64
	Err    error
}

// Settle settles one batch by itself.
func (l *Ledger) Settle(ctx context.Context, s *Settlement) SettleReply {
	return settleReply(l.one(ctx, settleCall(s)))
}

func settleCall(s *Settlement) call {
	k := s.Fence.Keys(s.Ballot)
	args := make([]any, 0, 6+2*len(s.Names))
	args = append(args, s.Fence.Epoch, s.ID[:], DoneTTL.Milliseconds(), s.AdmittedAt.UnixMilli(), len(s.Names))
	for _, n := range s.Names {
		args = append(args, n)
	}
	for _, n := range s.Counts {
		args = append(args, n)
	}
	return call{
		script: settleScript,
		keys: []string{
			k.marker(), k.outbox(), k.outboxTimes(), k.claims(), k.done(s.ID), k.tally(), k.updated(),
		},
		args: args,
	}
}

func settleReply(r reply) SettleReply {
	if r.err != nil {
		return SettleReply{Err: r.err}
	}
	s := SettleReply{How: Settled, ByThis: true}
	if r.word == "DONE" {
		s = SettleReply{How: How(r.rest[0].(string))}
		r.rest = r.rest[1:]
	}
	s.Totals = make([]int64, len(r.rest))
	for i, v := range r.rest {
		if v == nil {
			continue
		}
		n, err := strconv.ParseInt(v.(string), 10, 64)
		if err != nil {
			return SettleReply{Err: fmt.Errorf("redisledger: total: %w", err)}
		}
		s.Totals[i] = n
	}
	return s
}
