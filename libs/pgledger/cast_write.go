package pgledger

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/littlevote/littlevote/libs/events"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// write gives the accepted votes their effect: the same rows, in the same order, as Apply.
func (c *cast) write(ctx context.Context, t tx) error {
	c.event = c.record()
	if _, err := copyRows(ctx, t, []Event{c.event}); err != nil {
		return err
	}
	s := sum([]Event{c.event})
	totals := map[string]int64{}
	batch := &pgx.Batch{}
	queueVoters(batch, s.voters)
	queueTallies(batch, upsertTallies+" RETURNING username, votes", s.tallies).Query(func(rows pgx.Rows) error {
		var (
			candidate string
			votes     int64
		)
		_, err := pgx.ForEachRow(rows, []any{&candidate, &votes}, func() error {
			totals[candidate] = votes
			return nil
		})
		return err
	})
	queueTickets(batch, s.tickets)
	batch.Queue("UPDATE pg_ballots SET admissions = admissions + $3 WHERE epoch = $1 AND ballot = $2",
		c.Epoch, c.Ballot, len(c.accepted))
	if err := t.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	c.tell(s, totals)
	return nil
}

// record is the accepted votes as Apply knows them.
func (c *cast) record() Event {
	b := &eventv1.VoteBatch{
		BatchId:              c.ID[:],
		Epoch:                c.Epoch,
		Ballot:               c.Ballot,
		AdmittedAtMs:         c.held.now.UnixMilli(),
		FirstAdmissionNumber: c.held.admissions + 1,
		Votes:                make([]*eventv1.VoteEvent, len(c.accepted)),
	}
	if !c.retractions && !c.held.rules.Ticketless {
		b.TicketVersion = c.seen.ticket.version
	}
	index := map[string]uint32{}
	for k, i := range c.accepted {
		v := &c.Votes[i]
		e := &eventv1.VoteEvent{
			VoteId: v.ID[:], Voter: v.Label, VoterId: v.Voter, Candidates: make([]uint32, len(v.Candidates)), Deltas: v.Counts,
		}
		if v.Keyed {
			e.BodyHash = v.BodyHash[:]
		}
		if v.Retracts != uuid.Nil {
			e.Retracts = v.Retracts[:]
		}
		for j, candidate := range v.Candidates {
			at, known := index[candidate]
			if !known {
				at = uint32(len(b.GetCandidates()))
				index[candidate] = at
				b.Candidates = append(b.Candidates, candidate)
			}
			e.Candidates[j] = at
		}
		b.Votes[k] = e
	}
	b.Format = events.FormatFor(b)
	return Event{VoteBatch: b}
}

// tell gives each accepted vote the counts after it.
func (c *cast) tell(s sums, totals map[string]int64) {
	for candidate := range totals {
		totals[candidate] -= s.tallies[name{c.Ballot, candidate}].delta
	}
	for _, i := range c.accepted {
		v := &c.Votes[i]
		out := make([]int64, len(v.Candidates))
		for j, candidate := range v.Candidates {
			totals[candidate] += v.Counts[j]
			out[j] = totals[candidate]
		}
		c.result.Verdicts[i].Totals = out
	}
}

// remember answers for a batch that was decided before.
func (c *cast) remember(ctx context.Context, t tx) error {
	c.result.Verdicts = make([]CastVerdict, len(c.Votes))
	ids := make([][16]byte, len(c.Votes))
	for i, v := range c.Votes {
		ids[i] = v.ID
		c.result.Verdicts[i].Code = CastForgotten
	}
	rows, err := t.Query(ctx, `
		SELECT DISTINCT vote_id, admission, ticket_version, voted_at FROM vote_logs
		WHERE ballot = $1 AND vote_id = ANY ($2::uuid[]) AND batch_id = $3`, c.Ballot, ids, [16]byte(c.ID))
	if err != nil {
		return fmt.Errorf("look up a batch: %w", err)
	}
	var (
		vote      [16]byte
		admission int64
	)
	admitted := map[uuid.UUID]int64{}
	_, err = pgx.ForEachRow(rows, []any{&vote, &admission, &c.result.TicketVersion, &c.result.At}, func() error {
		admitted[vote] = admission
		return nil
	})
	if err != nil {
		return fmt.Errorf("look up a batch: %w", err)
	}
	for i, v := range c.Votes {
		if n, ok := admitted[v.ID]; ok {
			c.result.Verdicts[i] = CastVerdict{Code: CastOK, Admission: n}
		}
	}
	return errNothing
}
