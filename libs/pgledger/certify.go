package pgledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Why a ballot can't be certified.
var (
	// ErrNotClosed: it still takes votes, or may again.
	ErrNotClosed = errors.New("pgledger: the ballot is not closed")
	// ErrManyCandidates: its result would be too large for one document.
	ErrManyCandidates = errors.New("pgledger: the ballot has too many candidates for a result")
	// ErrDrift: its counts are not the sum of its ledger. A person has to look, with `littlevote fsck`.
	ErrDrift = errors.New("pgledger: the counts are not the sum of the ledger")
)

// MaxResultCandidates bounds the counts of a result.
const MaxResultCandidates = 20_000

// BallotResult is a result that never changes.
type BallotResult struct {
	Ballot string
	Title  string
	Counts map[string]int64 // by candidate, from a recount of the ledger
	Votes  int64            // votes that count, retracted and voided ones left out
	Voided int64            // votes that voids took out of the count
	Voids  []Void           // those that were approved, oldest first
	At     time.Time
	Signed string // as a JWS; empty for what was certified before results were signed
}

// Certifier is who certifies. Sign writes the result down so that anybody can tell that it is ours; it is called in the
// transaction that fixes the result, and asks nobody.
type Certifier struct {
	Actor string
	Sign  func(result *BallotResult) (string, error)
}

// Certify recounts a closed ballot and fixes its result; later records for it have no effect. It may be called only when, in
// the given epoch, nothing admitted is left that is not applied: the outbox was empty, and the persister has passed the end
// offsets read after that. ErrNotOpen says that the epoch is over: all that has to be done again. A ballot that is
// certified already answers with its result.
func Certify(ctx context.Context, pool *pgxpool.Pool, epoch int64, ballot string, by Certifier) (BallotResult, error) {
	if result, err := ResultOf(ctx, pool, ballot); err == nil || !errors.Is(err, ErrNotCertified) {
		return result, err
	}
	for {
		count, err := recountBallot(ctx, pool, ballot)
		if err != nil {
			return BallotResult{}, fmt.Errorf("certify %s: %w", ballot, err)
		}
		result, err := count.fix(ctx, pool, epoch, by)
		if errors.Is(err, errMoved) {
			continue
		}
		if err != nil {
			return BallotResult{}, fmt.Errorf("certify %s: %w", ballot, err)
		}
		return result, nil
	}
}

// errMoved says that a batch was applied between the recount and the lock.
var errMoved = errors.New("pgledger: the counts have moved")

// ballotCount is a recount, done before anything is locked: it reads the ballot's whole ledger.
type ballotCount struct {
	ballot  string
	counts  map[string]int64
	votes   int64
	tallies []Tally // as they were at that moment
}

func recountBallot(ctx context.Context, pool *pgxpool.Pool, ballot string) (ballotCount, error) {
	c := ballotCount{ballot: ballot, counts: map[string]int64{}}
	err := Snapshot(ctx, pool, func(tx pgx.Tx) error {
		var candidates int
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM user_votes WHERE ballot = $1", ballot).Scan(&candidates); err != nil {
			return err
		}
		if candidates > MaxResultCandidates {
			return ErrManyCandidates
		}
		rows, err := tx.Query(ctx, "SELECT username, sum(delta)::bigint FROM vote_logs WHERE ballot = $1 GROUP BY username", ballot)
		if err != nil {
			return err
		}
		var (
			username string
			votes    int64
		)
		if _, err := pgx.ForEachRow(rows, []any{&username, &votes}, func() error {
			c.counts[username] = votes
			return nil
		}); err != nil {
			return err
		}
		// Both kinds are told apart by retracts; each has a vote id of its own.
		if err := tx.QueryRow(ctx, `
			SELECT count(DISTINCT vote_id) FILTER (WHERE retracts IS NULL) - count(DISTINCT retracts)
			FROM vote_logs WHERE ballot = $1`, ballot).Scan(&c.votes); err != nil {
			return err
		}
		c.tallies, err = Tallies(ctx, tx, ballot, nil)
		return err
	})
	if err != nil {
		return ballotCount{}, err
	}
	for _, t := range c.tallies {
		if c.counts[t.Username] != t.Votes {
			return ballotCount{}, fmt.Errorf("%w: %q has %d, the ledger says %d", ErrDrift, t.Username, t.Votes, c.counts[t.Username])
		}
	}
	if len(c.tallies) < len(c.counts) {
		return ballotCount{}, fmt.Errorf("%w: candidates of the ledger have no count", ErrDrift)
	}
	return c, nil
}

// fix writes the result down, if nothing was applied since the recount.
func (c ballotCount) fix(ctx context.Context, pool *pgxpool.Pool, epoch int64, by Certifier) (BallotResult, error) {
	var result BallotResult
	err := ChangeBallots(ctx, pool, func(tx pgx.Tx, now Epoch) error {
		var state, title string
		err := tx.QueryRow(ctx, "SELECT state, title FROM ballots WHERE ballot = $1 FOR UPDATE", c.ballot).Scan(&state, &title)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return ErrUnknownBallot
		case err != nil:
			return err
		case state == "certified":
			result, err = ResultOf(ctx, tx, c.ballot)
			return err
		case state != "closed":
			return ErrNotClosed
		case now.Number != epoch || now.State != stateOpen:
			return ErrNotOpen
		}
		tallies, err := Tallies(ctx, tx, c.ballot, nil)
		if err != nil {
			return err
		}
		// A version only grows, so what is the same in both was never touched.
		if !slices.EqualFunc(tallies, c.tallies, func(a, b Tally) bool {
			return a.Username == b.Username && a.Votes == b.Votes && a.Version == b.Version
		}) {
			return errMoved
		}
		result = BallotResult{Ballot: c.ballot, Title: title, Counts: maps.Clone(c.counts), Votes: c.votes}
		return result.write(ctx, tx, by)
	})
	return result, err
}

// write completes a result and makes it the ballot's for good.
func (r *BallotResult) write(ctx context.Context, tx pgx.Tx, by Certifier) error {
	if err := tx.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&r.At); err != nil {
		return err
	}
	if err := r.readVoids(ctx, tx); err != nil {
		return err
	}
	var err error
	if r.Signed, err = by.Sign(r); err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	if _, err = tx.Exec(ctx, "INSERT INTO results (ballot, counts, votes, voided, certified_at, signed) VALUES ($1, $2, $3, $4, $5, $6)",
		r.Ballot, r.Counts, r.Votes, r.Voided, r.At, r.Signed); err != nil {
		return err
	}
	if _, err = tx.Exec(ctx, "UPDATE ballots SET state = 'certified', rules_version = rules_version + 1 WHERE ballot = $1", r.Ballot); err != nil {
		return err
	}
	deed := Deed{Actor: by.Actor, Action: ActionCertify}
	return deed.record(ctx, tx, r.Ballot, map[string]any{"votes": r.Votes, "voided": r.Voided})
}

func (r *BallotResult) readVoids(ctx context.Context, db DB) error {
	all, err := Voids(ctx, db, r.Ballot)
	if err != nil {
		return err
	}
	for _, v := range all {
		if v.ApprovedBy != "" {
			r.Voids = append(r.Voids, v)
			r.Voided += v.Votes
		}
	}
	return nil
}

// ErrNotCertified says that a ballot has no result yet.
var ErrNotCertified = errors.New("pgledger: the ballot is not certified")

// ResultOf reads the result of a certified ballot.
func ResultOf(ctx context.Context, db DB, ballot string) (BallotResult, error) {
	r := BallotResult{Ballot: ballot}
	err := db.QueryRow(ctx, `
		SELECT title, counts, votes, certified_at, signed FROM results JOIN ballots USING (ballot) WHERE ballot = $1`, ballot).
		Scan(&r.Title, &r.Counts, &r.Votes, &r.At, &r.Signed)
	if errors.Is(err, pgx.ErrNoRows) {
		return BallotResult{}, ErrNotCertified
	}
	if err == nil {
		err = r.readVoids(ctx, db)
	}
	if err != nil {
		return BallotResult{}, fmt.Errorf("read the result: %w", err)
	}
	return r, nil
}
