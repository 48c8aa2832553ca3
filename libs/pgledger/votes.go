package pgledger

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// Choice is what a vote gave a candidate.
type Choice struct {
	Candidate string
	Count     int64
}

// Vote is a vote as the ledger holds it.
type Vote struct {
	ID        uuid.UUID
	Batch     uuid.UUID
	Epoch     int64
	Admission int64
	At        time.Time // of admission
	Voter     string    // as authenticated, may be empty
	Label     string    // as claimed
	Choices   []Choice  // by name; of a change what it gave, not what it took back
	Retracts  uuid.UUID // in a retraction or change the vote that it takes back; else zero
	Change    bool      // it gave something too
	Retracted bool      // a retraction, a change or a void has taken it back
	Void      bool      // it was a void
}

// VoteOf finds a vote, a retraction or a change in the ledger, or returns nil.
func VoteOf(ctx context.Context, db DB, ballot string, id uuid.UUID) (*Vote, error) {
	rows, err := db.Query(ctx, `
		SELECT l.batch_id, l.epoch, l.admission, l.voted_at, coalesce(l.voter_id, ''), l.voter, l.retracts, l.username, l.delta,
			coalesce(v.retracted, false), l.void_id IS NOT NULL
		FROM vote_logs l
		LEFT JOIN voter_votes v ON v.ballot = l.ballot AND v.voter = l.voter_id AND v.vote_id = l.vote_id
		WHERE l.ballot = $1 AND l.vote_id = $2 ORDER BY l.void_id IS NOT NULL, l.username COLLATE "C"`, ballot, [16]byte(id))
	if err != nil {
		return nil, fmt.Errorf("look up a vote: %w", err)
	}
	parts, err := pgx.CollectRows(rows, scanVotePart)
	if err != nil {
		return nil, fmt.Errorf("look up a vote: %w", err)
	}
	if len(parts) == 0 {
		return nil, nil //nolint:nilnil // not found is an answer
	}
	return assemble(id, parts), nil
}

// votePart is a row of vote_logs.
type votePart struct {
	Vote

	choice   Choice
	retracts uuid.UUID
	void     bool
}

func scanVotePart(row pgx.CollectableRow) (votePart, error) {
	var (
		p        votePart
		batch    [16]byte
		retracts uuid.NullUUID
	)
	err := row.Scan(&batch, &p.Epoch, &p.Admission, &p.At, &p.Voter, &p.Label, &retracts, &p.choice.Candidate, &p.choice.Count,
		&p.Retracted, &p.void)
	p.Batch, p.retracts = batch, retracts.UUID
	return p, err
}

// assemble makes a vote of its rows; those that a void added stand last.
func assemble(id uuid.UUID, parts []votePart) *Vote {
	v := parts[0].Vote
	v.ID = id
	var given, taken []Choice
	for _, p := range parts {
		switch {
		case p.void:
			v.Void, v.Retracted = true, true
		case p.retracts == uuid.Nil:
			given = append(given, p.choice)
		default:
			v.Retracts = p.retracts
			taken = append(taken, p.choice)
		}
	}
	v.Choices, v.Change = given, v.Retracts != uuid.Nil && len(given) > 0
	if len(given) == 0 {
		v.Choices = taken
	}
	return &v
}

// Dropped says whether a vote stands in a record that came too late: it does not count, and never will.
func Dropped(ctx context.Context, db DB, ballot string, id uuid.UUID) (bool, error) {
	// The bytes are looked for first, since there is no index; they may stand for something else in the record.
	rows, err := db.Query(ctx, `
		SELECT record FROM dropped_batches WHERE ballot = $1 AND position($2::bytea IN record) > 0`, ballot, id[:])
	if err != nil {
		return false, fmt.Errorf("look up dropped batches: %w", err)
	}
	records, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return false, fmt.Errorf("look up dropped batches: %w", err)
	}
	for _, record := range records {
		b := &eventv1.VoteBatch{}
		if err := proto.Unmarshal(record, b); err != nil {
			return false, fmt.Errorf("look up dropped batches: %w", err)
		}
		for _, v := range b.GetVotes() {
			if bytes.Equal(v.GetVoteId(), id[:]) {
				return true, nil
			}
		}
	}
	return false, nil
}

// ReadsFormat returns the latest format of a record that every live persister reads. With none alive nobody speaks
// against any format.
func ReadsFormat(ctx context.Context, db DB) (int32, error) {
	format := int32(math.MaxInt32)
	err := db.QueryRow(ctx, "SELECT coalesce(min(reads_format), $1) FROM persisters WHERE lease_until > now()", format).Scan(&format)
	if err != nil {
		return 0, fmt.Errorf("read what the persisters read: %w", err)
	}
	return format, nil
}
