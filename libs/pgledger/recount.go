package pgledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Finding is one row that is wrong.
type Finding struct {
	Check  string `json:"check"`  // which check found it
	Ballot string `json:"ballot"` // empty where the row is of no one ballot
	Row    string `json:"row"`    // a candidate, a ticket's version, a vote's id …
	Want   int64  `json:"want"`   // as the other rows have it
	Got    int64  `json:"got"`
	Text   string `json:"text"` // the same in words
}

// Report is what a recount found; without findings everything agrees.
type Report struct {
	Epoch    Epoch
	Rows     int64 // of the ledger
	Votes    int64 // sum over the ledger
	Findings []Finding
}

// OK says that nothing is wrong.
func (r Report) OK() bool { return len(r.Findings) == 0 }

// Recount adds up the ledger again and compares everything in Postgres that follows from it, all in one snapshot: it
// may run while votes come in. It reads the whole ledger several times.
func Recount(ctx context.Context, pool *pgxpool.Pool) (Report, error) {
	var report Report
	err := Snapshot(ctx, pool, func(tx pgx.Tx) (err error) {
		report, err = Check(ctx, tx, func(string) {})
		return err
	})
	return report, err
}

// Check is Recount inside a snapshot; progress is told the name of each check before it begins.
func Check(ctx context.Context, tx pgx.Tx, progress func(check string)) (Report, error) {
	var report Report
	err := tx.QueryRow(ctx, "SELECT count(*), coalesce(sum(delta), 0)::bigint FROM vote_logs").Scan(&report.Rows, &report.Votes)
	if err != nil {
		return Report{}, fmt.Errorf("recount: %w", err)
	}
	if report.Epoch, err = CurrentEpoch(ctx, tx); err != nil {
		return Report{}, fmt.Errorf("recount: %w", err)
	}
	for _, c := range checks {
		progress(c.name)
		found, err := c.run(ctx, tx)
		if err != nil {
			return Report{}, fmt.Errorf("recount: %s: %w", c.name, err)
		}
		report.Findings = append(report.Findings, found...)
	}
	return report, nil
}

// Snapshot runs reads that all see one moment, however long they take.
func Snapshot(ctx context.Context, pool *pgxpool.Pool, f func(tx pgx.Tx) error) error {
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return pgx.BeginTxFunc(ctx, pool, options, func(tx pgx.Tx) error {
		// The time this takes grows with the ledger, and it may wait for another store in between.
		_, err := tx.Exec(ctx, "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
		if err != nil {
			return err
		}
		return f(tx)
	})
}

// check is a query for wrong rows: ballot, row, what is wanted, what is there, and a detail for the text.
type check struct {
	name  string
	text  string // with want, got and detail, in this order
	query string
}

func (c check) run(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
	rows, err := tx.Query(ctx, c.query)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Finding, error) {
		f := Finding{Check: c.name}
		var detail string
		err := row.Scan(&f.Ballot, &f.Row, &f.Want, &f.Got, &detail)
		f.Text = fmt.Sprintf(c.text, f.Want, f.Got, detail)
		return f, err
	})
}
