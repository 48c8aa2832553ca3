package pgledger

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// NextOffsets returns, for each topic that was ever applied, where its partitions go on.
func NextOffsets(ctx context.Context, db DB) (map[uuid.UUID]map[int32]int64, error) {
	rows, err := db.Query(ctx, "SELECT topic_id, partition, next FROM offsets")
	if err != nil {
		return nil, fmt.Errorf("read offsets: %w", err)
	}
	var (
		topic     [16]byte
		partition int32
		next      int64
	)
	all := map[uuid.UUID]map[int32]int64{}
	if _, err := pgx.ForEachRow(rows, []any{&topic, &partition, &next}, func() error {
		if all[topic] == nil {
			all[topic] = map[int32]int64{}
		}
		all[topic][partition] = next
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read offsets: %w", err)
	}
	return all, nil
}

// PlacedEvent is a batch with where it was read.
type PlacedEvent struct {
	Event
	Place string // such as "vote-events 3:1234"
}

// CheckRecords compares batches that stand before the offsets with what became of them: each is applied, and then the
// ledger has exactly its rows, or dropped.
func CheckRecords(ctx context.Context, db DB, batches []PlacedEvent) ([]Finding, error) {
	ids := make([][16]byte, len(batches))
	for i, b := range batches {
		ids[i] = b.ID()
	}
	rows, err := db.Query(ctx, `
		SELECT batch_id, true FROM applied_batches WHERE batch_id = ANY ($1::uuid[])
		UNION ALL SELECT batch_id, false FROM dropped_batches WHERE batch_id = ANY ($1::uuid[])`, ids)
	if err != nil {
		return nil, fmt.Errorf("look up batches: %w", err)
	}
	var (
		id      [16]byte
		applied bool
	)
	fates := map[uuid.UUID]bool{}
	if _, err := pgx.ForEachRow(rows, []any{&id, &applied}, func() error {
		fates[id] = applied || fates[id]
		return nil
	}); err != nil {
		return nil, fmt.Errorf("look up batches: %w", err)
	}
	oldest, err := oldestBatch(ctx, db)
	if err != nil {
		return nil, err
	}
	var (
		found []Finding
		want  = map[ledgerRow]int64{}
		in    = map[ledgerRow]string{}
	)
	for _, b := range batches {
		applied, known := fates[b.ID()]
		if id := b.ID(); !known && bytes.Compare(id[:], oldest[:]) < 0 {
			applied, known = true, true // its id is forgotten
		}
		if !known {
			found = append(found, Finding{
				Check: "record", Ballot: b.GetBallot(), Row: b.Place, Want: 1,
				Text: fmt.Sprintf("batch %s is before the offset, and neither applied nor dropped", b.ID()),
			})
		}
		if applied {
			b.rows(func(row ledgerRow, delta int64) {
				want[row] = delta
				in[row] = b.Place
			})
		}
	}
	wrong, err := compareRows(ctx, db, want, in)
	return append(found, wrong...), err
}

// oldestBatch is the first id that is still known; zero if there is none.
func oldestBatch(ctx context.Context, db DB) (uuid.UUID, error) {
	var oldest [16]byte
	err := db.QueryRow(ctx, "SELECT batch_id FROM applied_batches ORDER BY batch_id LIMIT 1").Scan(&oldest)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return uuid.Nil, fmt.Errorf("look up batches: %w", err)
	}
	return oldest, nil
}

// ledgerRow is what identifies a row of vote_logs.
type ledgerRow struct {
	ballot      string
	batch, vote uuid.UUID
	retracts    uuid.UUID // in a row that takes a vote back; else zero
	username    string
}

// rows yields the ledger rows of a batch.
func (e Event) rows(yield func(row ledgerRow, delta int64)) {
	for _, v := range e.GetVotes() {
		for i, c := range v.GetCandidates() {
			delta, first := sumChoice(v, i)
			if !first {
				continue
			}
			row := ledgerRow{ballot: e.GetBallot(), batch: e.ID(), vote: uuid.UUID(v.GetVoteId()), username: e.GetCandidates()[c]}
			if takesBack(v, i) {
				row.retracts = uuid.UUID(v.GetRetracts())
			}
			yield(row, delta)
		}
	}
}

// compareRows compares all ledger rows of batches with what their records say.
func compareRows(ctx context.Context, db DB, want map[ledgerRow]int64, in map[ledgerRow]string) ([]Finding, error) {
	var ballots []string
	var votes [][16]byte
	batches := map[uuid.UUID]string{}
	seen := map[name]bool{}
	for row := range want {
		batches[row.batch] = in[row]
		if key := (name{row.ballot, row.vote.String()}); !seen[key] {
			seen[key] = true
			ballots, votes = append(ballots, row.ballot), append(votes, row.vote)
		}
	}
	rows, err := db.Query(ctx, `
		SELECT ballot, l.batch_id, vote_id, l.retracts, l.username, sum(l.delta)::bigint
		FROM unnest($1::text[], $2::uuid[]) AS asked (ballot, vote_id) JOIN vote_logs l USING (ballot, vote_id)
		GROUP BY ballot, l.batch_id, vote_id, l.retracts, l.username`, ballots, votes)
	if err != nil {
		return nil, fmt.Errorf("look up votes: %w", err)
	}
	var (
		row         ledgerRow
		batch, vote [16]byte
		retracts    uuid.NullUUID
		delta       int64
	)
	got := map[ledgerRow]int64{}
	if _, err := pgx.ForEachRow(rows, []any{&row.ballot, &batch, &vote, &retracts, &row.username, &delta}, func() error {
		row.batch, row.vote, row.retracts = batch, vote, retracts.UUID
		if place, ours := batches[row.batch]; ours {
			got[row] = delta
			in[row] = place
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("look up votes: %w", err)
	}
	return differences(want, got, in), nil
}

func differences(want, got map[ledgerRow]int64, in map[ledgerRow]string) []Finding {
	var wrong []ledgerRow
	for row, delta := range want {
		if got[row] != delta {
			wrong = append(wrong, row)
		}
	}
	for row := range got {
		if _, wanted := want[row]; !wanted {
			wrong = append(wrong, row)
		}
	}
	slices.SortFunc(wrong, func(a, b ledgerRow) int {
		return cmp.Or(cmp.Compare(in[a], in[b]), bytes.Compare(a.vote[:], b.vote[:]), cmp.Compare(a.username, b.username),
			bytes.Compare(a.retracts[:], b.retracts[:]))
	})
	found := make([]Finding, len(wrong))
	for i, row := range wrong {
		found[i] = Finding{
			Check: "ledger", Ballot: row.ballot, Row: row.vote.String() + " for " + row.username, Want: want[row], Got: got[row],
			Text: fmt.Sprintf("the record of batch %s (%s) gives %d, the ledger %d", row.batch, in[row], want[row], got[row]),
		}
	}
	return found
}
