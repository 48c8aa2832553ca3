package pgledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// MaxVoids bounds the voids of a ballot: each of them stands in its result.
const MaxVoids = 250

// What a void can be refused for; none of them has had an effect.
var (
	// ErrUnknownVoid: the ballot has no void of that id.
	ErrUnknownVoid = errors.New("pgledger: there is no such void")
	// ErrVoidTaken: another void has the id.
	ErrVoidTaken = errors.New("pgledger: another void has this id")
	// ErrSelfApproval: who proposed it may not approve it.
	ErrSelfApproval = errors.New("pgledger: a void needs the approval of somebody else than who proposed it")
	// ErrManyVoids: the ballot has as many as it may.
	ErrManyVoids = errors.New("pgledger: the ballot has too many voids")
)

// Void is a range of admitted votes that do not count, once somebody has approved it.
type Void struct {
	ID          uuid.UUID
	Ballot      string
	First, Last int64 // admission numbers
	Reason      string
	ProposedBy  string
	ProposedAt  time.Time
	ApprovedBy  string // empty while nobody has
	ApprovedAt  time.Time
	Votes       int64 // that it took out of the count
}

const voidColumns = `void_id, ballot, first_admission, last_admission, reason, proposed_by, proposed_at,
	coalesce(approved_by, ''), approved_at, votes`

func scanVoid(row pgx.CollectableRow) (Void, error) {
	var (
		v  Void
		id [16]byte
		at *time.Time
	)
	err := row.Scan(&id, &v.Ballot, &v.First, &v.Last, &v.Reason, &v.ProposedBy, &v.ProposedAt, &v.ApprovedBy, &at, &v.Votes)
	v.ID = id
	if at != nil {
		v.ApprovedAt = *at
	}
	return v, err
}

func selectVoids(ctx context.Context, db DB, where string, args ...any) ([]Void, error) {
	rows, err := db.Query(ctx, "SELECT "+voidColumns+" FROM voids WHERE "+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read voids: %w", err)
	}
	voids, err := pgx.CollectRows(rows, scanVoid)
	if err != nil {
		return nil, fmt.Errorf("read voids: %w", err)
	}
	return voids, nil
}

// Voids returns a ballot's voids, oldest first.
func Voids(ctx context.Context, db DB, ballot string) ([]Void, error) {
	return selectVoids(ctx, db, "ballot = $1 ORDER BY proposed_at, void_id", ballot)
}

// ProposeVoid writes a void of a closed ballot down. It changes no count. The same one again is found as it is.
func ProposeVoid(ctx context.Context, pool *pgxpool.Pool, v Void) (Void, error) {
	var made Void
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
		made, err = v.propose(ctx, tx)
		return err
	})
	if err != nil {
		return Void{}, fmt.Errorf("propose a void of %s: %w", v.Ballot, err)
	}
	return made, nil
}

func (v *Void) propose(ctx context.Context, tx pgx.Tx) (Void, error) {
	var state string
	err := tx.QueryRow(ctx, "SELECT state FROM ballots WHERE ballot = $1 FOR SHARE", v.Ballot).Scan(&state)
	if errors.Is(err, pgx.ErrNoRows) {
		return Void{}, ErrUnknownBallot
	}
	if err != nil {
		return Void{}, err
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO voids (void_id, ballot, first_admission, last_admission, reason, proposed_by, proposed_at)
		SELECT $1, $2, $3, $4, $5, $6, clock_timestamp() WHERE $7 = 'closed' ON CONFLICT DO NOTHING`,
		[16]byte(v.ID), v.Ballot, v.First, v.Last, v.Reason, v.ProposedBy, state)
	if err != nil {
		return Void{}, err
	}
	found, err := selectVoids(ctx, tx, "void_id = $1", [16]byte(v.ID))
	switch {
	case err != nil:
		return Void{}, err
	case len(found) == 0:
		return Void{}, ErrNotClosed
	case found[0].Ballot != v.Ballot || found[0].First != v.First || found[0].Last != v.Last || found[0].Reason != v.Reason ||
		found[0].ProposedBy != v.ProposedBy:
		return Void{}, ErrVoidTaken
	case tag.RowsAffected() == 0:
		return found[0], nil
	}
	var count int
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM voids WHERE ballot = $1", v.Ballot).Scan(&count); err != nil {
		return Void{}, err
	}
	if count > MaxVoids {
		return Void{}, ErrManyVoids
	}
	deed := Deed{Actor: v.ProposedBy, Action: ActionProposeVoid}
	return found[0], deed.record(ctx, tx, v.Ballot, map[string]any{
		"void": v.ID, "first": v.First, "last": v.Last, "reason": v.Reason,
	})
}

// Approval asks for a void to take effect.
type Approval struct {
	Ballot string
	Void   uuid.UUID
	Actor  string
	Epoch  int64 // in which nothing admitted to the ballot is left that is not applied, as for Certify
	// Admissions is the last admission number that Redis gave, if the epoch is in Redis.
	Admissions int64
}

// ApproveVoid takes the votes of a void out of the count, in one transaction: those in its range that count, so that no vote is
// taken out twice. A void that is approved already is found as it is. ErrNotOpen says that the epoch is over.
func ApproveVoid(ctx context.Context, pool *pgxpool.Pool, a Approval) (Void, error) {
	var v Void
	err := retry(ctx, func() error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
			v, err = a.approve(ctx, tx)
			return err
		})
	})
	if err != nil {
		return Void{}, fmt.Errorf("approve a void of %s: %w", a.Ballot, err)
	}
	return v, nil
}

func (a *Approval) approve(ctx context.Context, tx pgx.Tx) (Void, error) {
	// All of the ballot's are locked, so that two that overlap wait for each other.
	all, err := selectVoids(ctx, tx, "ballot = $1 ORDER BY void_id FOR UPDATE", a.Ballot)
	if err != nil {
		return Void{}, err
	}
	var v *Void
	for i := range all {
		if all[i].ID == a.Void {
			v = &all[i]
		}
	}
	switch {
	case v == nil:
		return Void{}, ErrUnknownVoid
	case v.ProposedBy == a.Actor:
		return Void{}, ErrSelfApproval
	case v.ApprovedBy != "":
		return *v, nil
	}
	if err := a.takeOut(ctx, tx, v); err != nil {
		return Void{}, err
	}
	if err := a.stillClosed(ctx, tx); err != nil {
		return Void{}, err
	}
	v.ApprovedBy = a.Actor
	if err := tx.QueryRow(ctx, `
		UPDATE voids SET approved_by = $2, approved_at = clock_timestamp(), votes = $3 WHERE void_id = $1
		RETURNING approved_at`, [16]byte(v.ID), a.Actor, v.Votes).Scan(&v.ApprovedAt); err != nil {
		return Void{}, err
	}
	deed := Deed{Actor: a.Actor, Action: ActionApproveVoid}
	return *v, deed.record(ctx, tx, a.Ballot, map[string]any{
		"void": v.ID, "first": v.First, "last": v.Last, "reason": v.Reason, "proposed_by": v.ProposedBy, "votes": v.Votes,
	})
}

// takeOut writes the rows that take the void's votes back, and what follows from them. See "void" in doc.go.
func (a *Approval) takeOut(ctx context.Context, tx pgx.Tx, v *Void) error {
	batch, err := uuid.NewV7()
	if err != nil {
		return err
	}
	var number int64
	if err := tx.QueryRow(ctx, `
		SELECT greatest($2, coalesce((SELECT max(version) FROM user_votes WHERE ballot = $1), 0),
			coalesce((SELECT max(admissions) FROM pg_ballots WHERE ballot = $1), 0)) + 1`, a.Ballot, a.Admissions).Scan(&number); err != nil {
		return err
	}
	stillCounts := " AND NOT EXISTS (SELECT FROM gone WHERE gone.retracts = l.vote_id)"
	if faultpoint.Mutant("void-twice") {
		stillCounts = ""
	}
	if err := tx.QueryRow(ctx, `
		WITH gone AS MATERIALIZED (SELECT DISTINCT retracts FROM vote_logs WHERE ballot = $1 AND retracts IS NOT NULL),
		taken AS (
			INSERT INTO vote_logs (vote_id, ballot, username, delta, ticket_version, voter, voted_at, epoch, admission, batch_id,
				retracts, voter_id, void_id)
			SELECT l.vote_id, l.ballot, l.username, -l.delta, '', l.voter, now(), $4, $5, $6, l.vote_id, l.voter_id, $7
			FROM vote_logs l
			WHERE l.ballot = $1 AND l.admission BETWEEN $2 AND $3 AND l.retracts IS NULL`+stillCounts+`
			RETURNING vote_id, username, delta, voter_id
		), voters AS (
			UPDATE voter_votes v SET retracted = true
			FROM (SELECT DISTINCT voter_id, vote_id FROM taken WHERE voter_id IS NOT NULL) t
			WHERE v.ballot = $1 AND v.voter = t.voter_id AND v.vote_id = t.vote_id
		), tallies AS (
			UPDATE user_votes u SET votes = u.votes + t.delta, version = $5, updated_at = now()
			FROM (SELECT username, sum(delta)::bigint AS delta FROM taken GROUP BY username) t
			WHERE u.ballot = $1 AND u.username = t.username
		)
		SELECT count(DISTINCT vote_id) FROM taken`,
		a.Ballot, v.First, v.Last, a.Epoch, number, [16]byte(batch), [16]byte(v.ID)).Scan(&v.Votes); err != nil {
		return fmt.Errorf("take votes out: %w", err)
	}
	if v.Votes == 0 {
		return nil
	}
	_, err = tx.Exec(ctx, "INSERT INTO applied_batches (batch_id, epoch) VALUES ($1, $2)", [16]byte(batch), a.Epoch)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "UPDATE pg_ballots SET admissions = $3 WHERE epoch = $1 AND ballot = $2", a.Epoch, a.Ballot, number)
	return err
}

// stillClosed holds the epoch and the ballot's state until COMMIT. It comes last: what takes long keeps nobody waiting who
// wants to change the epoch.
func (a *Approval) stillClosed(ctx context.Context, tx pgx.Tx) error {
	epoch, err := holdEpoch(ctx, tx)
	if err != nil {
		return err
	}
	if epoch.Number != a.Epoch || epoch.State != stateOpen {
		return ErrNotOpen
	}
	var state string
	if err := tx.QueryRow(ctx, "SELECT state FROM ballots WHERE ballot = $1 FOR SHARE", a.Ballot).Scan(&state); err != nil {
		return err
	}
	if state != "closed" {
		return ErrNotClosed
	}
	return nil
}

// VoidedBallots names the ballots that have an approved void.
func VoidedBallots(ctx context.Context, db DB) ([]string, error) {
	rows, err := db.Query(ctx, "SELECT DISTINCT ballot FROM voids WHERE approved_by IS NOT NULL ORDER BY ballot")
	if err != nil {
		return nil, fmt.Errorf("read voids: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read voids: %w", err)
	}
	return names, nil
}

// VoidedCounts returns the counts of a ballot that has an approved void, so all that it ever admitted is in them; and the
// admission number that they are as of. Redis knows a lower one if it has not been told of the void.
func VoidedCounts(ctx context.Context, db DB, ballot string) (admissions int64, counts []redisledger.Count, err error) {
	tallies, err := Tallies(ctx, db, ballot, nil)
	if err != nil {
		return 0, nil, err
	}
	for _, t := range tallies {
		admissions = max(admissions, t.Version)
		counts = append(counts, redisledger.Count{Name: t.Username, Votes: t.Votes, UpdatedAt: t.UpdatedAt})
	}
	return admissions, counts, nil
}
