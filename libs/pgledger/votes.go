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
	Choices   []Choice  // by name
	Retracts  uuid.UUID // in a retraction; else zero
	Retracted bool      // a retraction has taken it back
}

// VoteOf finds a vote or a retraction in the ledger, or returns nil.
func VoteOf(ctx context.Context, db DB, ballot string, id uuid.UUID) (*Vote, error) {
	rows, err := db.Query(ctx, `
		SELECT l.batch_id, l.epoch, l.admission, l.voted_at, coalesce(l.voter_id, ''), l.voter, l.retracts, l.username, l.delta,
			coalesce(v.retracted, false)
		FROM vote_logs l
		LEFT JOIN voter_votes v ON v.ballot = l.ballot AND v.voter = l.voter_id AND v.vote_id = l.vote_id
		WHERE l.ballot = $1 AND l.vote_id = $2 ORDER BY l.username COLLATE "C"`, ballot, [16]byte(id))
	if err != nil {
		return nil, fmt.Errorf("look up a vote: %w", err)
	}
	var (
		found    *Vote
		v        = Vote{ID: id}
		batch    [16]byte
		retracts uuid.NullUUID
		choice   Choice
	)
	_, err = pgx.ForEachRow(rows, []any{
		&batch, &v.Epoch, &v.Admission, &v.At, &v.Voter, &v.Label, &retracts, &choice.Candidate, &choice.Count, &v.Retracted,
	}, func() error {
		v.Batch, v.Retracts = batch, retracts.UUID
		v.Choices = append(v.Choices, choice)
		found = &v
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look up a vote: %w", err)
	}
	return found, nil
}

// Voters returns, for each of the voters that has any, the ids of the votes that count.
func Voters(ctx context.Context, db DB, ballot string, voters []string) (map[string][]uuid.UUID, error) {
	rows, err := db.Query(ctx, `
		SELECT voter, vote_id FROM voter_votes
		WHERE ballot = $1 AND voter = ANY ($2::text[]) AND NOT retracted ORDER BY voter, vote_id`, ballot, voters)
	if err != nil {
		return nil, fmt.Errorf("look up voters: %w", err)
	}
	votes := map[string][]uuid.UUID{}
	var (
		voter string
		vote  [16]byte
	)
	_, err = pgx.ForEachRow(rows, []any{&voter, &vote}, func() error {
		votes[voter] = append(votes[voter], vote)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look up voters: %w", err)
	}
	return votes, nil
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
