package epoch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/pgledger"
)

// Store is the tables that the epochs live in. All its methods may be called by anybody, at any time and twice.
type Store interface {
	// Current reads the row, or returns pgledger.ErrNoEpoch.
	Current(ctx context.Context) (pgledger.Epoch, error)
	// Renew reads the row and, only while it is open, writes the lease, as one step that no change of the row divides.
	Renew(ctx context.Context, b Beat) (pgledger.Epoch, error)
	// Stop says that a participant acknowledges nothing any more in epochs up to this one.
	Stop(ctx context.Context, id string, epoch int64) error
	// Leave removes a participant.
	Leave(ctx context.Context, id string) error

	// Begin writes the first row, of an epoch that is ending, if there is none.
	Begin(ctx context.Context) error
	// End marks an open epoch as ending.
	End(ctx context.Context, epoch int64, reason string) error
	// NoteReplicas marks the Redis of an epoch as one that may fail over.
	NoteReplicas(ctx context.Context, epoch int64) error
	// Waiting lists the participants that may still acknowledge in an epoch.
	Waiting(ctx context.Context, epoch int64) ([]string, error)
	// Witnesses counts the other participants that beat within the time given, and those of them that miss Redis too.
	Witnesses(ctx context.Context, me string, within time.Duration) (alive, missing int, err error)
	// Ballots lists the ballots that stand in an epoch's Redis.
	Ballots(ctx context.Context, epoch int64) ([]string, error)
	// Behind counts the records up to ends that are not applied.
	Behind(ctx context.Context, topic uuid.UUID, ends map[int32]int64) (int64, error)
	// OpenPostgres opens the next epoch in Postgres, if old is still the row. A zero Epoch says that it is not.
	OpenPostgres(ctx context.Context, old pgledger.Epoch, reason string) (pgledger.Epoch, error)
	// OpenRedis opens the next epoch in Redis, if old is still the row: load is called with every ballot while nothing
	// else can be applied or decided, and what it returns becomes the row.
	OpenRedis(ctx context.Context, old pgledger.Epoch, load LoadFunc) (pgledger.Epoch, error)
}

// Beat is a heartbeat.
type Beat struct {
	ID, Service string
	Lease       time.Duration
	RedisAway   bool // this process has had no answer from Redis for a while
}

// LoadFunc writes ballots into Redis under the next epoch's number and returns the row that names them.
type LoadFunc func(ctx context.Context, number int64, ballots []Loadable) (pgledger.Epoch, error)

// lockTimeout bounds the wait for the table lock: those that wait for it queue up every sharer behind them.
const lockTimeout = 2 * time.Second

// postgres is the Store that is not a model.
type postgres struct{ pool *pgxpool.Pool }

// NewStore returns the store in a Postgres primary.
func NewStore(pool *pgxpool.Pool) Store { return postgres{pool} }

func (s postgres) Current(ctx context.Context) (pgledger.Epoch, error) {
	return pgledger.CurrentEpoch(ctx, s.pool)
}

func (s postgres) Renew(ctx context.Context, b Beat) (pgledger.Epoch, error) {
	var e pgledger.Epoch
	err := s.pool.QueryRow(ctx, `
		WITH e AS MATERIALIZED (SELECT * FROM ledger_epoch FOR SHARE),
		lease AS (
			INSERT INTO participants (id, service, epoch, stopped, lease_until, redis_away_since, beat_at)
			SELECT $1, $2, epoch, false, now() + $3::interval, CASE WHEN $4 THEN now() END, now() FROM e WHERE state = 'open'
			ON CONFLICT (id) DO UPDATE
			SET epoch = excluded.epoch, stopped = false, lease_until = excluded.lease_until,
				beat_at = now(),
				redis_away_since = CASE WHEN $4 THEN coalesce(participants.redis_away_since, now()) END
		)
		SELECT epoch, mode, state, ns, replicated FROM e`,
		b.ID, b.Service, b.Lease, b.RedisAway,
	).Scan(&e.Number, &e.Mode, &e.State, &e.NS, &e.Replicated)
	if errors.Is(err, pgx.ErrNoRows) {
		return e, pgledger.ErrNoEpoch
	}
	return e, err
}

func (s postgres) Stop(ctx context.Context, id string, epoch int64) error {
	_, err := s.pool.Exec(ctx, "UPDATE participants SET stopped = true WHERE id = $1 AND epoch <= $2", id, epoch)
	return err
}

func (s postgres) Leave(ctx context.Context, id string) error {
	_, err := s.pool.Exec(ctx, "DELETE FROM participants WHERE id = $1", id)
	return err
}

// Begin numbers the first epoch with the time, so that records of an earlier life of the topic, with another Postgres,
// are of epochs that are over.
func (s postgres) Begin(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO ledger_epoch (epoch, mode, state, ns, replicated, reason)
		VALUES (extract(epoch FROM now())::bigint, 'redis', 'ending', '', false, 'none was ever open') ON CONFLICT DO NOTHING`)
	return err
}

func (s postgres) End(ctx context.Context, epoch int64, reason string) error {
	return locked(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			UPDATE ledger_epoch SET state = 'ending', reason = $2, changed_at = now()
			WHERE epoch = $1 AND state = 'open' AND mode = 'redis'`, epoch, reason)
		return err
	})
}

func (s postgres) NoteReplicas(ctx context.Context, epoch int64) error {
	return locked(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE ledger_epoch SET replicated = true WHERE epoch = $1", epoch)
		return err
	})
}

func (s postgres) Waiting(ctx context.Context, epoch int64) ([]string, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT service || ' ' || id FROM participants
		WHERE epoch = $1 AND NOT stopped AND lease_until > now()`, epoch)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func (s postgres) Witnesses(ctx context.Context, me string, within time.Duration) (alive, missing int, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT count(*), count(redis_away_since) FROM participants
		WHERE id <> $1 AND beat_at > now() - $2::interval`, me, within).Scan(&alive, &missing)
	return alive, missing, err
}

func (s postgres) Ballots(ctx context.Context, epoch int64) ([]string, error) {
	rows, err := s.pool.Query(ctx, "SELECT ballot FROM ballot_ns WHERE epoch = $1 ORDER BY ballot", epoch)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func (s postgres) Behind(ctx context.Context, topic uuid.UUID, ends map[int32]int64) (int64, error) {
	rows, err := s.pool.Query(ctx, "SELECT partition, next FROM offsets WHERE topic_id = $1", topic)
	if err != nil {
		return 0, err
	}
	next := map[int32]int64{}
	var (
		partition int32
		offset    int64
	)
	if _, err := pgx.ForEachRow(rows, []any{&partition, &offset}, func() error {
		next[partition] = offset
		return nil
	}); err != nil {
		return 0, err
	}
	var behind int64
	for p, end := range ends {
		behind += max(0, end-next[p])
	}
	return behind, nil
}

// OpenPostgres makes a stay in Postgres longer if the last one in Redis was short: Redis may be flapping. The name of the
// keys in Redis stays in the row, so that somebody deletes them once Redis is back.
func (s postgres) OpenPostgres(ctx context.Context, old pgledger.Epoch, reason string) (pgledger.Epoch, error) {
	var next pgledger.Epoch
	err := s.replace(ctx, old, func(tx pgx.Tx) error {
		opened := pgledger.Epoch{Number: old.Number + 1, Mode: string(Postgres), State: stateOpen}
		if err := prepare(ctx, tx, opened); err != nil {
			return err
		}
		if err := pgledger.OpenPg(ctx, tx, opened.Number); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			UPDATE ledger_epoch SET epoch = $1, mode = 'pg', state = 'open', replicated = false, reason = $2,
				stay = CASE WHEN now() - opened_at < interval '1 minute' THEN least(stay * 2, interval '5 minutes')
					ELSE interval '10 seconds' END,
				changed_at = now(), opened_at = now()`, opened.Number, reason)
		next = opened
		return err
	})
	return next, err
}

func (s postgres) OpenRedis(ctx context.Context, old pgledger.Epoch, load LoadFunc) (pgledger.Epoch, error) {
	var next pgledger.Epoch
	err := s.replace(ctx, old, func(tx pgx.Tx) error {
		ballots, err := loadables(ctx, tx)
		if err != nil {
			return err
		}
		loaded, err := load(ctx, old.Number+1, ballots)
		if err != nil {
			return err
		}
		if err := prepare(ctx, tx, loaded); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO ballot_ns (epoch, ballot) SELECT $1, unnest($2::text[])",
			loaded.Number, names(ballots)); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			UPDATE ledger_epoch SET epoch = $1, mode = 'redis', state = 'open', ns = $2, replicated = $3,
				reason = 'loaded from Postgres', changed_at = now(), opened_at = now()`,
			loaded.Number, loaded.NS, loaded.Replicated)
		next = loaded
		return err
	})
	return next, err
}

// prepare writes what every new epoch begins with, and drops what none needs any more.
func prepare(ctx context.Context, tx pgx.Tx, next pgledger.Epoch) error {
	if err := pgledger.WriteBase(ctx, tx, next.Number); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM ballot_ns WHERE epoch < $1", next.Number-1); err != nil {
		return err
	}
	// Of processes that were killed.
	_, err := tx.Exec(ctx, "DELETE FROM participants WHERE lease_until < now() - interval '1 hour'")
	return err
}

// replace runs f in a transaction that holds the row, if old is still what it says.
func (s postgres) replace(ctx context.Context, old pgledger.Epoch, f func(tx pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	hold := locked
	if faultpoint.Mutant("no-record-switch") {
		hold = unlocked
	}
	return hold(ctx, s.pool, func(tx pgx.Tx) error {
		row, err := pgledger.CurrentEpoch(ctx, tx)
		if err != nil {
			return err
		}
		if row.Number != old.Number || row.State != old.State {
			return nil
		}
		return f(tx)
	})
}

// locked runs f in a transaction that holds the whole table, since FOR UPDATE on the row alone starves behind
// overlapping sharers. It tries again when the lock is not to be had in time.
func locked(ctx context.Context, pool *pgxpool.Pool, f func(tx pgx.Tx) error) error {
	for {
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", lockTimeout.Milliseconds()))
			if err != nil {
				return err
			}
			// A load writes to Redis in between.
			_, err = tx.Exec(ctx, fmt.Sprintf("SET LOCAL idle_in_transaction_session_timeout = %d", loadTimeout.Milliseconds()))
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "LOCK TABLE ledger_epoch IN EXCLUSIVE MODE"); err != nil {
				return err
			}
			return f(tx)
		})
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "55P03" { // lock_not_available
			if err := pause(ctx, 100*time.Millisecond); err != nil {
				return err
			}
			continue
		}
		return err
	}
}

// unlocked is locked without the lock, for the test that must notice.
func unlocked(ctx context.Context, pool *pgxpool.Pool, f func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, pool, f)
}
