package dbmove

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// fingerprints are what a batch made, in a few numbers: equal rows have equal ones.
var fingerprints = map[string]string{
	"vote_logs": `
		SELECT batch_id, count(*), sum(hashtextextended(concat_ws('/', vote_id, ballot, username, delta, ticket_version, voter, epoch, admission,
			voter_id, retracts, void_id), 0)::numeric)::text
		FROM vote_logs WHERE batch_id < $1 GROUP BY batch_id ORDER BY batch_id`,
	"vote_keys": `
		SELECT batch_id, count(*), sum(hashtextextended(concat_ws('/', ballot, key, body_hash), 0)::numeric)::text
		FROM vote_keys WHERE batch_id < $1 GROUP BY batch_id ORDER BY batch_id`,
}

// Comparison is what a comparison came to.
type Comparison struct {
	Batches int      `json:"batches"` // that are the same on both sides
	More    int      `json:"more"`    // that only the target has: they came over the log
	Wrong   []string `json:"wrong"`   // what is not the same, at most maxWrong
}

const maxWrong = 20

// Compare holds the rows of every batch made before a moment against those of the target.
func (m *Move) Compare(ctx context.Context, before time.Time) (Comparison, error) {
	var c Comparison
	err := m.snapshot(ctx, func(from pgx.Tx) error {
		for _, name := range []string{"vote_logs", "vote_keys"} {
			if err := c.compare(ctx, from, m.To, name, firstID(before)); err != nil {
				return fmt.Errorf("compare %s: %w", name, err)
			}
		}
		return nil
	})
	return c, err
}

// mark is the fingerprint of a batch.
type mark struct {
	batch [16]byte
	rows  int64
	hash  string
}

// compare walks along both sides at the same time.
func (c *Comparison) compare(ctx context.Context, from, to querier, name string, before [16]byte) error {
	a, err := from.Query(ctx, fingerprints[name], before)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := to.Query(ctx, fingerprints[name], before)
	if err != nil {
		return err
	}
	defer b.Close()
	same, more := 0, 0
	left, right := next(a), next(b)
	for left != nil || right != nil {
		var order int
		switch {
		case left == nil:
			order = 1
		case right == nil:
			order = -1
		default:
			order = bytes.Compare(left.batch[:], right.batch[:])
		}
		switch {
		case order < 0:
			c.wrong("%s: the target lacks batch %s", name, uuid.UUID(left.batch))
			left = next(a)
			continue
		case order > 0:
			more++
			right = next(b)
			continue
		case *left != *right:
			c.wrong("%s: batch %s has %d rows in the source, %d in the target, or they differ", name, uuid.UUID(left.batch), left.rows, right.rows)
		default:
			same++
		}
		left, right = next(a), next(b)
	}
	if name == "vote_logs" {
		c.Batches, c.More = same, more
	}
	return errors.Join(a.Err(), b.Err())
}

func (c *Comparison) wrong(format string, args ...any) {
	if len(c.Wrong) < maxWrong {
		c.Wrong = append(c.Wrong, fmt.Sprintf(format, args...))
	}
}

func next(rows pgx.Rows) *mark {
	if !rows.Next() {
		return nil
	}
	var m mark
	if err := rows.Scan(&m.batch, &m.rows, &m.hash); err != nil {
		rows.Close() // Err tells
		return nil
	}
	return &m
}
