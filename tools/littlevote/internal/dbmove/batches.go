package dbmove

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// maxAge is more than a batch can be old when it is applied: it waits in an outbox for 6 hours at most, and its id may be an
// hour off.
const maxAge = 8 * time.Hour

// perApply is how many batches go into one transaction.
const perApply = 100

// missing lists the batches that the source has applied since a moment, and the target has not, in the order of their ids,
// with their epochs.
func missing(ctx context.Context, from, to querier, since time.Time) ([]applied, error) {
	there, err := appliedSince(ctx, from, since)
	if err != nil {
		return nil, fmt.Errorf("the source: %w", err)
	}
	here, err := appliedSince(ctx, to, since)
	if err != nil {
		return nil, fmt.Errorf("the target: %w", err)
	}
	known := make(map[[16]byte]bool, len(here))
	for _, a := range here {
		known[a.id] = true
	}
	return slices.DeleteFunc(there, func(a applied) bool { return known[a.id] }), nil
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

type applied struct {
	id    [16]byte
	epoch int64
}

// madeAt is when the id was made.
func (a applied) madeAt() time.Time {
	sec, nsec := uuid.UUID(a.id).Time().UnixTime()
	return time.Unix(sec, nsec)
}

func appliedSince(ctx context.Context, db querier, since time.Time) ([]applied, error) {
	rows, err := db.Query(ctx, "SELECT batch_id, epoch FROM applied_batches WHERE batch_id >= $1 ORDER BY batch_id", firstID(since))
	if err != nil {
		return nil, fmt.Errorf("list batches: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (applied, error) {
		var a applied
		err := row.Scan(&a.id, &a.epoch)
		return a, err
	})
	if err != nil {
		return nil, fmt.Errorf("list batches: %w", err)
	}
	return list, nil
}

// firstID is the least UUIDv7 of a moment.
func firstID(at time.Time) (id [16]byte) {
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

// carry applies batches of the source to the target, from the rows that they made there.
func (m *Move) carry(ctx context.Context, from pgx.Tx, batches []applied) error {
	for part := range slices.Chunk(batches, perApply) {
		built, err := rebuild(ctx, from, part)
		if err != nil {
			return err
		}
		if _, err := pgledger.Apply(ctx, m.To, pgledger.Batch{Events: built}); err != nil {
			return fmt.Errorf("apply to the target: %w", err)
		}
	}
	return nil
}

// ledgerRow is one of vote_logs, as far as a batch made it.
type ledgerRow struct {
	Batch, Vote [16]byte
	Ballot      string
	Username    string
	Delta       int64
	Ticket      string
	Voter       string
	VotedAt     time.Time
	Epoch       int64
	Admission   int64
	VoterID     *string
	Retracts    *[16]byte
	BodyHash    []byte
}

// rebuild makes the events whose effect the rows are.
func rebuild(ctx context.Context, from pgx.Tx, batches []applied) ([]pgledger.Event, error) {
	ids := make([][16]byte, len(batches))
	oldest := time.Now()
	for i, b := range batches {
		ids[i] = b.id
		if at := b.madeAt(); at.Before(oldest) {
			oldest = at
		}
	}
	// What is taken back comes first, as in the record of a change. The times let Postgres leave old partitions alone.
	rows, err := from.Query(ctx, `
		SELECT l.batch_id, l.vote_id, l.ballot, l.username, l.delta, l.ticket_version, l.voter, l.voted_at, l.epoch, l.admission,
			l.voter_id, l.retracts, k.body_hash
		FROM vote_logs l LEFT JOIN vote_keys k ON k.ballot = l.ballot AND k.key = l.vote_id AND k.batch_id = l.batch_id
		WHERE l.batch_id = ANY ($1::uuid[]) AND l.voted_at >= $2 AND l.void_id IS NULL
		ORDER BY l.batch_id, l.admission, l.retracts IS NULL, l.username`, ids, oldest.Add(-maxAge))
	if err != nil {
		return nil, fmt.Errorf("read the batches: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ledgerRow])
	if err != nil {
		return nil, fmt.Errorf("read the batches: %w", err)
	}
	var built []pgledger.Event
	for i := 0; i < len(list); {
		end := i
		for end < len(list) && list[end].Batch == list[i].Batch {
			end++
		}
		event, err := event(list[i:end])
		if err != nil {
			return nil, err
		}
		built = append(built, event)
		i = end
	}
	return built, nil
}

// event makes one batch of its rows.
func event(rows []ledgerRow) (pgledger.Event, error) {
	first := rows[0]
	b := &eventv1.VoteBatch{
		Format: events.Format, BatchId: first.Batch[:], Epoch: first.Epoch, Ballot: first.Ballot, AdmittedAtMs: first.VotedAt.UnixMilli(),
		TicketVersion: first.Ticket, FirstAdmissionNumber: first.Admission,
	}
	index := map[string]uint32{}
	var vote *eventv1.VoteEvent
	for _, r := range rows {
		if vote == nil || !bytes.Equal(vote.GetVoteId(), r.Vote[:]) {
			if r.Admission != first.Admission+int64(len(b.GetVotes())) {
				return pgledger.Event{}, fmt.Errorf("batch %s: no vote has the admission number %d", uuid.UUID(first.Batch), first.Admission+int64(len(b.GetVotes())))
			}
			vote = &eventv1.VoteEvent{VoteId: r.Vote[:], Voter: r.Voter, BodyHash: r.BodyHash}
			if r.VoterID != nil {
				vote.VoterId = *r.VoterID
			}
			b.Votes = append(b.Votes, vote)
		}
		if r.Retracts != nil {
			vote.Retracts = r.Retracts[:]
		}
		if _, known := index[r.Username]; !known {
			index[r.Username] = uint32(len(b.GetCandidates()))
			b.Candidates = append(b.Candidates, r.Username)
		}
		vote.Candidates = append(vote.Candidates, index[r.Username])
		vote.Deltas = append(vote.Deltas, r.Delta)
	}
	return pgledger.Event{VoteBatch: b}, nil
}
