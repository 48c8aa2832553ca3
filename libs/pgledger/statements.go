package pgledger

import (
	"bytes"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/littlevote/littlevote/libs/faultpoint"
)

// queueVoters adds rows only ever in one direction, since a retraction may be applied before its vote.
func queueVoters(batch *pgx.Batch, voters map[voterVote]voterState) {
	if len(voters) == 0 {
		return
	}
	rows := sortedVoters(voters)
	ballots, names := make([]string, len(rows)), make([]string, len(rows))
	votes, retracted := make([][16]byte, len(rows)), make([]bool, len(rows))
	candidates, times := make([]string, len(rows)), make([]*time.Time, len(rows))
	for i, row := range rows {
		state := voters[row]
		ballots[i], names[i], votes[i], retracted[i] = row.ballot, row.voter, row.vote, state.retracted
		candidates[i], times[i] = state.candidate, state.at
	}
	batch.Queue(`
		INSERT INTO voter_votes AS v (ballot, voter, vote_id, retracted, candidate, voted_at)
		SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[], $4::boolean[], $5::text[], $6::timestamptz[])
		ON CONFLICT (ballot, voter, vote_id) DO UPDATE SET
			retracted = v.retracted OR excluded.retracted,
			candidate = greatest(v.candidate, excluded.candidate),
			voted_at = coalesce(v.voted_at, excluded.voted_at)`,
		ballots, names, votes, retracted, candidates, times)
}

const upsertTallies = `
	INSERT INTO user_votes AS u (ballot, username, votes, version, updated_at)
	SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::timestamptz[])
	ON CONFLICT (ballot, username) DO UPDATE SET
		votes = u.votes + excluded.votes,
		version = greatest(u.version, excluded.version),
		updated_at = greatest(u.updated_at, excluded.updated_at)`

func queueTallies(batch *pgx.Batch, statement string, tallies map[name]tally) *pgx.QueuedQuery {
	rows := sorted(tallies)
	ballots, candidates := make([]string, len(rows)), make([]string, len(rows))
	deltas, versions, times := make([]int64, len(rows)), make([]int64, len(rows)), make([]time.Time, len(rows))
	for i, row := range rows {
		ballots[i], candidates[i] = row.ballot, row.name
		t := tallies[row]
		deltas[i], versions[i], times[i] = t.delta, t.version, t.at
	}
	return batch.Queue(statement, ballots, candidates, deltas, versions, times)
}

func queueTickets(batch *pgx.Batch, tickets map[name]int64) {
	if len(tickets) == 0 {
		return
	}
	rows := sorted(tickets)
	ballots, versions, uses := make([]string, len(rows)), make([]string, len(rows)), make([]int64, len(rows))
	for i, row := range rows {
		ballots[i], versions[i], uses[i] = row.ballot, row.name, tickets[row]
	}
	batch.Queue(`
		INSERT INTO tickets AS t (ballot, version, used)
		SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
		ON CONFLICT (ballot, version) DO UPDATE SET used = t.used + excluded.used`, ballots, versions, uses)
}

// queueLost keeps the records of batches without effect, for people to look at.
func queueLost(batch *pgx.Batch, events []Event) {
	events = slices.SortedFunc(slices.Values(events), func(a, b Event) int { return bytes.Compare(a.GetBatchId(), b.GetBatchId()) })
	for _, e := range events {
		batch.Queue(`
			INSERT INTO dropped_batches (batch_id, epoch, ballot, reason, record) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT DO NOTHING`, e.ID(), e.GetEpoch(), e.GetBallot(), e.Lost.reason(), e.Record)
	}
}

// queueOffsets moves offsets that are still where the caller believes them.
func queueOffsets(batch *pgx.Batch, moves []OffsetMove) {
	if len(moves) == 0 {
		return
	}
	topics, partitions := make([][16]byte, len(moves)), make([]int32, len(moves))
	from, to, caughtUp := make([]int64, len(moves)), make([]int64, len(moves)), make([]*time.Time, len(moves))
	for i, m := range moves {
		topics[i], partitions[i], from[i], to[i] = m.TopicID, m.Partition, m.From, m.To
		if !m.CaughtUpAt.IsZero() {
			caughtUp[i] = &m.CaughtUpAt
		}
	}
	believed := "AND o.next = m.believed"
	if faultpoint.Mutant("no-offset-check") {
		believed = ""
	}
	batch.Queue(`
		UPDATE offsets o SET next = m.next, caught_up_at = greatest(o.caught_up_at, m.caught_up_at)
		FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::bigint[], $5::timestamptz[])
			AS m (topic_id, partition, believed, next, caught_up_at)
		WHERE o.topic_id = m.topic_id AND o.partition = m.partition `+believed,
		topics, partitions, from, to, caughtUp).Exec(mustTouch(len(moves), ErrZombie))
}

// mustTouch fails the transaction unless the statement has touched so many rows.
func mustTouch(rows int, otherwise error) func(pgconn.CommandTag) error {
	return func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() != int64(rows) {
			return otherwise
		}
		return nil
	}
}
