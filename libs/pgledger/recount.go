package pgledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// TallyDiff is a candidate whose tally is not the sum of the ledger.
type TallyDiff struct {
	Ballot, Username string
	Ledger, Tally    int64
}

// TicketDiff is a ticket whose recorded uses are not the votes of the ledger, or which has more of them than its cap.
type TicketDiff struct {
	Ballot, Version string
	Ledger, Used    int64
	Cap             *int64 // nil where there is none, or where the minter's write has not arrived
}

// Report is what a recount found; without any row in it everything agrees.
type Report struct {
	Rows    int64 // of the ledger
	Votes   int64 // sum over the ledger
	Tallies []TallyDiff
	Tickets []TicketDiff
}

// OK says that nothing differs.
func (r Report) OK() bool { return len(r.Tallies) == 0 && len(r.Tickets) == 0 }

// Recount adds up the ledger again and compares, all in one snapshot: it may run while votes come in. It reads the
// whole ledger.
func Recount(ctx context.Context, pool *pgxpool.Pool) (Report, error) {
	var report Report
	err := snapshot(ctx, pool, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, "SELECT count(*), coalesce(sum(delta), 0)::bigint FROM vote_logs").Scan(&report.Rows, &report.Votes)
		if err != nil {
			return err
		}
		if report.Tallies, err = collect[TallyDiff](ctx, tx, recountTallies); err != nil {
			return err
		}
		report.Tickets, err = collect[TicketDiff](ctx, tx, recountTickets)
		return err
	})
	if err != nil {
		return Report{}, fmt.Errorf("recount: %w", err)
	}
	return report, nil
}

const recountTallies = `
	SELECT ballot, username, coalesce(l.votes, 0)::bigint, coalesce(u.votes, 0)
	FROM (SELECT ballot, username, sum(delta) AS votes FROM vote_logs GROUP BY ballot, username) l
	FULL JOIN user_votes u USING (ballot, username)
	WHERE coalesce(l.votes, 0) <> coalesce(u.votes, 0)
	ORDER BY ballot, username`

const recountTickets = `
	SELECT ballot, version, coalesce(l.used, 0), coalesce(t.used, 0), t.cap
	FROM (
		SELECT ballot, ticket_version AS version, count(DISTINCT vote_id) AS used FROM vote_logs
		WHERE ticket_version <> '' GROUP BY ballot, ticket_version
	) l
	FULL JOIN tickets t USING (ballot, version)
	WHERE coalesce(l.used, 0) <> coalesce(t.used, 0) OR l.used > t.cap
	ORDER BY ballot, version`

func collect[T any](ctx context.Context, tx pgx.Tx, query string) ([]T, error) {
	rows, err := tx.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}
