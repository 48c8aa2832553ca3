package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/littlevote/littlevote/libs/pgledger"
)

// replica is what the server of postgres.replica-url says.
type replica struct {
	recovery, paused bool
	lag              float64 // seconds
}

func examineReplica(ctx context.Context, s *settings, _ func() time.Time) []Finding {
	if s.Postgres.ReplicaURL == "" {
		return nil
	}
	l := &list{area: "replica"}
	r, err := askReplica(ctx, s)
	if err != nil {
		l.add(Warning, "reach", fmt.Sprintf("the replica does not answer: %v", err), "while Redis is away reads go to the primary", "start it, or correct postgres.replica-url")
		return l.all
	}
	l.judgeReplica(r)
	return l.all
}

func askReplica(ctx context.Context, s *settings) (replica, error) {
	pool, err := pgledger.OpenReplica(ctx, s.Postgres)
	if err != nil {
		return replica{}, err
	}
	defer pool.Close()
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	var r replica
	// Where everything that came was applied nothing is behind, however long ago that was.
	err = pool.QueryRow(ctx, `
		SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() <> 'not paused' ELSE false END,
			coalesce(CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
				ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END, 0)::float8`).Scan(&r.recovery, &r.paused, &r.lag)
	return r, err
}

func (l *list) judgeReplica(r replica) {
	const why = "while Redis is away counts come from it, marked as stale, and votes with a consistency token wait"
	switch {
	case !r.recovery:
		l.add(Note, "role", "postgres.replica-url names a server that takes writes", "reads are a load for the primary then", "let it name a replica, or leave it out")
	case r.paused:
		l.add(Warning, "lag", "the replica's replay is paused", why, "SELECT pg_wal_replay_resume() on the replica", "G8", "G10")
	case r.lag > 10:
		l.add(Warning, "lag", fmt.Sprintf("the replica is %.0f s behind", r.lag), why, "look at its disk, and at long queries there (max_standby_streaming_delay)", "G8", "G10")
	default:
		l.ok("lag", "the replica is %.1f s behind", r.lag)
	}
}
