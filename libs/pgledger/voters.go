package pgledger

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// VoterKey is what a limit per voter is counted by.
type VoterKey struct {
	Voter     string
	Candidate string // empty unless the ballot's limit counts by candidate
	Period    int64  // see Ballot.Period
}

// limits is how a ballot's limit per voter counts.
type limits struct {
	perCandidate bool
	period       time.Duration
}

// VotersOf returns, for each of the keys that has any, the ids of the votes that count, the oldest first.
func VotersOf(ctx context.Context, db DB, b *Ballot, keys []VoterKey) (map[VoterKey][]uuid.UUID, error) {
	votes := map[VoterKey][]uuid.UUID{}
	statement, args := votersOf(b.Name, limits{b.PerCandidate, b.VoterPeriod}, keys)
	rows, err := db.Query(ctx, statement, args...)
	if err == nil {
		err = eachVoterVote(rows, func(key VoterKey, vote uuid.UUID) { votes[key] = append(votes[key], vote) })
	}
	if err != nil {
		return nil, fmt.Errorf("look up voters: %w", err)
	}
	return votes, nil
}

// votersOf asks for the votes that count under some keys.
func votersOf(ballot string, l limits, keys []VoterKey) (statement string, args []any) {
	voters, candidates := make([]string, len(keys)), make([]string, len(keys))
	periods, begins, ends := make([]int64, len(keys)), make([]time.Time, len(keys)), make([]time.Time, len(keys))
	for i, k := range keys {
		voters[i], candidates[i], periods[i] = k.Voter, k.Candidate, k.Period
		begins[i] = time.UnixMilli(k.Period * l.period.Milliseconds())
		ends[i] = begins[i].Add(l.period)
	}
	var of string
	if l.perCandidate {
		of += " AND v.candidate = a.candidate AND v.candidate <> ''"
	}
	if l.period > 0 {
		of += " AND v.voted_at >= a.begins AND v.voted_at < a.ends"
	}
	return `
		SELECT a.voter, a.candidate, a.period, v.vote_id
		FROM (SELECT DISTINCT * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[])
			AS a (voter, candidate, period, begins, ends)) a
		JOIN voter_votes v ON v.ballot = $1 AND v.voter = a.voter AND NOT v.retracted` + of + `
		ORDER BY a.voter, a.candidate, a.period, v.voted_at NULLS FIRST, v.vote_id`,
		[]any{ballot, voters, candidates, periods, begins, ends}
}

func eachVoterVote(rows pgx.Rows, yield func(key VoterKey, vote uuid.UUID)) error {
	var (
		key  VoterKey
		vote [16]byte
	)
	_, err := pgx.ForEachRow(rows, []any{&key.Voter, &key.Candidate, &key.Period, &vote}, func() error {
		yield(key, vote)
		return nil
	})
	return err
}

// VoterVote is a vote of a voter that counts.
type VoterVote struct {
	ID        uuid.UUID
	Voter     string
	Candidate string    // what it is for, if that is one; else empty
	VotedAt   time.Time // by the clock of admission
}

const voterVoteColumns = "vote_id, voter, candidate, coalesce(voted_at, 'epoch')"

func scanVoterVote(row pgx.CollectableRow) (VoterVote, error) {
	var v VoterVote
	var id [16]byte
	err := row.Scan(&id, &v.Voter, &v.Candidate, &v.VotedAt)
	v.ID = id
	return v, err
}

// LastVote returns a voter's newest vote for a candidate that counts, or nil.
func LastVote(ctx context.Context, db DB, ballot, voter, candidate string) (*VoterVote, error) {
	rows, err := db.Query(ctx, `
		SELECT `+voterVoteColumns+` FROM voter_votes
		WHERE ballot = $1 AND voter = $2 AND candidate = $3 AND candidate <> '' AND NOT retracted
		ORDER BY voted_at DESC NULLS LAST, vote_id DESC LIMIT 1`, ballot, voter, candidate)
	if err != nil {
		return nil, fmt.Errorf("look up a voter: %w", err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, scanVoterVote)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // none is an answer
	}
	if err != nil {
		return nil, fmt.Errorf("look up a voter: %w", err)
	}
	return &v, nil
}

// HasVote says whether a voter has any vote in a ballot that counts.
func HasVote(ctx context.Context, db DB, ballot, voter string) (bool, error) {
	var has bool
	err := db.QueryRow(ctx, "SELECT EXISTS (SELECT FROM voter_votes WHERE ballot = $1 AND voter = $2 AND NOT retracted)",
		ballot, voter).Scan(&has)
	if err != nil {
		return false, fmt.Errorf("look up a voter: %w", err)
	}
	return has, nil
}

// Voted says of each of the candidates whether the voter has a vote for it that counts, in their order.
func Voted(ctx context.Context, db DB, ballot, voter string, candidates []string) ([]bool, error) {
	rows, err := db.Query(ctx, `
		SELECT EXISTS (SELECT FROM voter_votes
			WHERE ballot = $1 AND voter = $2 AND candidate = a.candidate AND candidate <> '' AND NOT retracted)
		FROM unnest($3::text[]) WITH ORDINALITY AS a (candidate, place) ORDER BY a.place`, ballot, voter, candidates)
	if err != nil {
		return nil, fmt.Errorf("look up a voter: %w", err)
	}
	voted, err := pgx.CollectRows(rows, pgx.RowTo[bool])
	if err != nil {
		return nil, fmt.Errorf("look up a voter: %w", err)
	}
	return voted, nil
}

// VotesQuery asks for a page of votes that count: those of a voter, or those for a candidate.
type VotesQuery struct {
	Voter     string
	Candidate string      // asked for where Voter is empty
	After     *VoteCursor // the last vote of the page before; nil: from the newest
	Limit     int
}

// ListVotes returns a page of votes, the newest first. A page goes on where the one before ended, whatever was cast or
// retracted in between.
func ListVotes(ctx context.Context, db DB, ballot string, q VotesQuery) ([]VoterVote, error) {
	column, value := "voter", q.Voter
	if q.Voter == "" {
		// As in the index.
		column, value = `candidate <> '' AND candidate COLLATE "C"`, q.Candidate
	}
	args, after := []any{ballot, value, q.Limit}, ""
	if q.After != nil {
		args, after = append(args, q.After.VotedAt, [16]byte(q.After.ID)), " AND voted_at <= $4 AND (voted_at, vote_id) < ($4, $5)"
	}
	rows, err := db.Query(ctx, `
		SELECT `+voterVoteColumns+` FROM voter_votes
		WHERE ballot = $1 AND `+column+` = $2 AND NOT retracted AND voted_at IS NOT NULL`+after+`
		ORDER BY voted_at DESC, vote_id DESC LIMIT $3`, args...)
	if err != nil {
		return nil, fmt.Errorf("list votes: %w", err)
	}
	votes, err := pgx.CollectRows(rows, scanVoterVote)
	if err != nil {
		return nil, fmt.Errorf("list votes: %w", err)
	}
	return votes, nil
}

// VoteCursor is a place in a list of votes. Clients hand it back as they got it.
type VoteCursor struct {
	VotedAt time.Time
	ID      uuid.UUID
}

// ErrCursor says that a text is no cursor.
var ErrCursor = errors.New("pgledger: not a cursor")

// Cursor is the place behind a vote.
func (v *VoterVote) Cursor() VoteCursor { return VoteCursor{v.VotedAt, v.ID} }

// String writes a cursor.
func (c VoteCursor) String() string {
	data := binary.BigEndian.AppendUint64(nil, uint64(c.VotedAt.UnixMicro()))
	return base64.RawURLEncoding.EncodeToString(append(data, c.ID[:]...))
}

// ParseVoteCursor reads what String writes, and nothing else.
func ParseVoteCursor(text string) (VoteCursor, error) {
	const size = 8 + 16
	if len(text) != base64.RawURLEncoding.EncodedLen(size) {
		return VoteCursor{}, ErrCursor
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return VoteCursor{}, ErrCursor
	}
	at := time.UnixMicro(int64(binary.BigEndian.Uint64(data)))
	if at.Before(time.Unix(0, 0)) || at.Year() > 9000 {
		return VoteCursor{}, ErrCursor // no such moment was ever handed out, and Postgres may not know it
	}
	return VoteCursor{at, uuid.UUID(data[8:])}, nil
}

// HotVoters yields every vote that counts for a candidate whose name is 16 digits and not below fromID, the greatest
// candidate first, by voter and time: what an epoch in Redis begins with. It stops at the first error of yield.
func HotVoters(ctx context.Context, tx pgx.Tx, ballot, fromID string, yield func(VoterVote) error) error {
	// A cursor, so that who stops early need not wait for the rest.
	_, err := tx.Exec(ctx, `
		DECLARE hot_voters NO SCROLL CURSOR FOR SELECT `+voterVoteColumns+` FROM voter_votes
		WHERE ballot = $1 AND candidate <> '' AND NOT retracted
			AND candidate COLLATE "C" >= $2 AND candidate COLLATE "C" < ':' AND candidate ~ '^[0-9]{16}$'
		ORDER BY candidate COLLATE "C" DESC, voter COLLATE "C", voted_at, vote_id`, ballot, fromID)
	if err != nil {
		return fmt.Errorf("read hot voters: %w", err)
	}
	for {
		rows, err := tx.Query(ctx, "FETCH 5000 FROM hot_voters")
		if err != nil {
			return fmt.Errorf("read hot voters: %w", err)
		}
		page, err := pgx.CollectRows(rows, scanVoterVote)
		if err != nil {
			return fmt.Errorf("read hot voters: %w", err)
		}
		for _, v := range page {
			if err := yield(v); err != nil {
				return errors.Join(err, closeCursor(ctx, tx))
			}
		}
		if len(page) == 0 {
			return closeCursor(ctx, tx)
		}
	}
}

func closeCursor(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, "CLOSE hot_voters"); err != nil {
		return fmt.Errorf("read hot voters: %w", err)
	}
	return nil
}
