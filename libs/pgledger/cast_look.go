package pgledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// seen is what the tables say about the votes of a Cast.
type seen struct {
	batch  bool // the batch had been decided before
	keys   map[uuid.UUID]Key
	ticket *castTicket // nil if there is none
	names  map[string]bool
	room   int64                    // how many more names the open list takes
	voters map[VoterKey][]uuid.UUID // the votes that count
	votes  map[uuid.UUID]string     // that are to be taken back and count: whose they are
}

// castTicket is the newest ticket.
type castTicket struct {
	version, value string
	expires        time.Time
	left           int64 // NoCap where there is none
}

// look reads everything that the decision needs, in one round trip, and claims the batch id.
func (c *cast) look(ctx context.Context, t tx) error {
	batch := &pgx.Batch{}
	batch.Queue("INSERT INTO applied_batches (batch_id, epoch) VALUES ($1, $2) ON CONFLICT DO NOTHING", [16]byte(c.ID), c.Epoch).
		Exec(func(tag pgconn.CommandTag) error {
			c.seen.batch = tag.RowsAffected() == 0
			return nil
		})
	c.queueKeys(batch)
	if c.retractions {
		c.queueRetracted(batch)
	} else {
		c.queueTicket(batch)
		c.queueNames(batch)
		c.queueVoters(batch)
	}
	if err := t.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("look up: %w", err)
	}
	return nil
}

func (c *cast) queueKeys(batch *pgx.Batch) {
	var keys [][16]byte
	for _, v := range c.Votes {
		if v.Keyed {
			keys = append(keys, v.ID)
		}
	}
	if len(keys) == 0 {
		return
	}
	c.seen.keys = map[uuid.UUID]Key{}
	batch.Queue("SELECT key, body_hash, batch_id FROM vote_keys WHERE ballot = $1 AND key = ANY ($2::uuid[])", c.Ballot, keys).
		Query(func(rows pgx.Rows) error {
			var (
				id, in [16]byte
				hash   []byte
			)
			_, err := pgx.ForEachRow(rows, []any{&id, &hash, &in}, func() error {
				found := Key{BatchID: in}
				copy(found.BodyHash[:], hash)
				c.seen.keys[id] = found
				return nil
			})
			return err
		})
}

func (c *cast) queueTicket(batch *pgx.Batch) {
	if c.held.lastNumber == 0 || c.held.rules.Ticketless {
		return // without this, all tickets of earlier epochs would be looked through
	}
	batch.Queue(newestTicket, c.Ballot, ticketsOf(c.Epoch), c.held.now).Query(func(rows pgx.Rows) error {
		row, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[ticketRow])
		if err != nil || len(row) == 0 {
			return err
		}
		found := row[0]
		c.seen.ticket = &castTicket{version: found.Version, value: found.Value, expires: found.ExpiresAt, left: found.left()}
		return nil
	})
}

// queueNames asks which candidates an open list has already. Its rows are counted only if some are new.
func (c *cast) queueNames(batch *pgx.Batch) {
	if c.MaxNames == 0 {
		return
	}
	var names []string
	for _, v := range c.Votes {
		names = append(names, v.Candidates...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	c.seen.names = map[string]bool{}
	batch.Queue(`
		WITH known AS (SELECT username FROM user_votes WHERE ballot = $1 AND username = ANY ($2::text[]))
		SELECT ARRAY (SELECT username FROM known), CASE WHEN (SELECT count(*) FROM known) < $3
			THEN (SELECT count(*) FROM user_votes WHERE ballot = $1) ELSE 0 END`, c.Ballot, names, len(names)).
		QueryRow(func(row pgx.Row) error {
			var (
				known []string
				count int64
			)
			if err := row.Scan(&known, &count); err != nil {
				return err
			}
			for _, name := range known {
				c.seen.names[name] = true
			}
			c.seen.room = c.MaxNames - count
			return nil
		})
}

func (c *cast) queueVoters(batch *pgx.Batch) {
	var keys []VoterKey
	for i := range c.Votes {
		if c.Votes[i].Voter != "" {
			keys = append(keys, c.key(&c.Votes[i]))
		}
	}
	if len(keys) == 0 {
		return
	}
	c.seen.voters = map[VoterKey][]uuid.UUID{}
	statement, args := votersOf(c.Ballot, limits{c.held.rules.PerCandidate, c.held.rules.VoterPeriod}, keys)
	batch.Queue(statement, args...).Query(func(rows pgx.Rows) error {
		return eachVoterVote(rows, func(key VoterKey, vote uuid.UUID) { c.seen.voters[key] = append(c.seen.voters[key], vote) })
	})
}

// queueRetracted asks which of the votes that are to be taken back count, and whose they are.
func (c *cast) queueRetracted(batch *pgx.Batch) {
	voters, votes := make([]string, len(c.Votes)), make([][16]byte, len(c.Votes))
	for i, v := range c.Votes {
		voters[i], votes[i] = v.Voter, v.Retracts
	}
	c.seen.votes = map[uuid.UUID]string{}
	batch.Queue(`
		SELECT v.vote_id, v.voter FROM voter_votes v
		JOIN unnest($2::text[], $3::uuid[]) AS asked (voter, vote_id) USING (voter, vote_id)
		WHERE v.ballot = $1 AND NOT v.retracted`, c.Ballot, voters, votes).
		Query(func(rows pgx.Rows) error {
			var (
				vote  [16]byte
				voter string
			)
			_, err := pgx.ForEachRow(rows, []any{&vote, &voter}, func() error {
				c.seen.votes[vote] = voter
				return nil
			})
			return err
		})
}
