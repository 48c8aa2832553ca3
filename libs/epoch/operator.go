package epoch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/pgledger"
)

// Overview is what an operator sees of the epochs.
type Overview struct {
	Epoch        int64               `json:"epoch"`
	Mode         Mode                `json:"mode"`
	State        string              `json:"state"` // open or ending
	Held         bool                `json:"held"`  // it stays in Postgres until it is released
	Reason       string              `json:"reason"`
	Since        time.Time           `json:"since"` // of this state
	NS           string              `json:"ns,omitempty"`
	Replicated   bool                `json:"replicated"`
	Now          time.Time           `json:"now"` // by the clock that the leases are counted by
	CaughtUpAt   *time.Time          `json:"caughtUpAt"`
	Participants []ParticipantStatus `json:"participants"`
	Persisters   []PersisterStatus   `json:"persisters"`
	Ballots      []BallotStatus      `json:"ballots"`
}

// ParticipantStatus is a process that takes part in the epochs.
type ParticipantStatus struct {
	ID             string     `json:"id"`
	Service        string     `json:"service"`
	Epoch          int64      `json:"epoch"`
	Stopped        bool       `json:"stopped"`
	LeaseUntil     time.Time  `json:"leaseUntil"`
	BeatAt         time.Time  `json:"beatAt"`
	RedisAwaySince *time.Time `json:"redisAwaySince,omitempty"`
}

// PersisterStatus is a process that moves votes into the ledger.
type PersisterStatus struct {
	ID          string    `json:"id"`
	ReadsFormat int       `json:"readsFormat"`
	LeaseUntil  time.Time `json:"leaseUntil"`
}

// BallotStatus is a ballot, and whether it stands in the ledger of the epoch that is on.
type BallotStatus struct {
	Ballot string `json:"ballot"`
	State  string `json:"state"`
	Here   bool   `json:"inThisEpoch"`
}

// Holds says whether a change of the epoch waits for this participant.
func (o Overview) Holds(p ParticipantStatus) bool {
	return o.State == stateEnding && p.Epoch <= o.Epoch && !p.Stopped && o.Now.Before(p.LeaseUntil)
}

// Show reads everything as of one moment.
func Show(ctx context.Context, pool *pgxpool.Pool) (Overview, error) {
	var o Overview
	err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			SELECT epoch, mode, state, held, reason, changed_at, ns, replicated, now(), (SELECT min(caught_up_at) FROM offsets)
			FROM ledger_epoch`).Scan(&o.Epoch, &o.Mode, &o.State, &o.Held, &o.Reason, &o.Since, &o.NS, &o.Replicated, &o.Now, &o.CaughtUpAt)
		if errors.Is(err, pgx.ErrNoRows) {
			return pgledger.ErrNoEpoch
		}
		if err != nil {
			return err
		}
		o.Participants, err = list[ParticipantStatus](ctx, tx, `
			SELECT id, service, epoch, stopped, lease_until, beat_at, redis_away_since FROM participants ORDER BY service, id`)
		if err != nil {
			return err
		}
		if o.Persisters, err = list[PersisterStatus](ctx, tx, "SELECT id, reads_format, lease_until FROM persisters ORDER BY id"); err != nil {
			return err
		}
		o.Ballots, err = list[BallotStatus](ctx, tx, `
			SELECT b.ballot, b.state, EXISTS (SELECT FROM ballot_ns n WHERE n.ballot = b.ballot AND n.epoch = $1)
				OR EXISTS (SELECT FROM pg_ballots n WHERE n.ballot = b.ballot AND n.epoch = $1)
			FROM ballots b ORDER BY b.ballot`, o.Epoch)
		return err
	})
	if err != nil {
		return Overview{}, fmt.Errorf("epoch: show: %w", err)
	}
	return o, nil
}

func list[T any](ctx context.Context, tx pgx.Tx, query string, args ...any) ([]T, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}

// ErrNotEnded says that an operator's wish has no object: the epoch is not open in Redis.
var ErrNotEnded = errors.New("epoch: only an epoch that is open in Redis can be ended")

// EndByHand ends the epoch that is open in Redis. Some process that lives opens the next one, in Redis if that is well.
func EndByHand(ctx context.Context, pool *pgxpool.Pool, reason string) error {
	err := locked(ctx, pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE ledger_epoch SET state = 'ending', reason = $1, changed_at = now() WHERE state = 'open' AND mode = 'redis'`, reason)
		if err == nil && tag.RowsAffected() == 0 {
			err = ErrNotEnded
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("epoch: end: %w", err)
	}
	return nil
}

// Hold has the next epoch opened in Postgres, where it stays until Release: for a planned move of Redis. Doing it twice is
// no harm.
func Hold(ctx context.Context, pool *pgxpool.Pool) error { return setHeld(ctx, pool, true) }

// Release lets the ledger go back to Redis as soon as that is well.
func Release(ctx context.Context, pool *pgxpool.Pool) error { return setHeld(ctx, pool, false) }

func setHeld(ctx context.Context, pool *pgxpool.Pool, held bool) error {
	err := locked(ctx, pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, "UPDATE ledger_epoch SET held = $1", held)
		if err == nil && tag.RowsAffected() == 0 {
			err = pgledger.ErrNoEpoch
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("epoch: hold: %w", err)
	}
	return nil
}

// ErrMeanwhile says that somebody else has changed the epoch.
var ErrMeanwhile = errors.New("epoch: it was changed meanwhile: look again")

// Restored ends the epoch that a restored database has, and counts on to one that the log knows and the database does not. Nobody
// decides votes in it: the next one opens when the ledger holds the whole log.
func Restored(ctx context.Context, pool *pgxpool.Pool, from, to int64) error {
	err := locked(ctx, pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE ledger_epoch SET epoch = $2, mode = 'redis', state = 'ending', held = false, reason = 'restored from a backup', changed_at = now()
			WHERE epoch = $1 AND $2 >= $1 AND state IN ('open', 'ending')`, from, to)
		if err == nil && tag.RowsAffected() == 0 {
			err = ErrMeanwhile
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("epoch: restored: %w", err)
	}
	return nil
}
