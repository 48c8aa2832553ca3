package dbmove

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// table is one that is copied.
type table struct {
	name    string // quoted where needed
	columns []string
}

// notCopied are tables of processes, not of votes: leases are carried over by themselves, at the switch.
var notCopied = []string{"participants", "persisters"}

// fromBatches are tables that batches and their records make, on each side by themselves.
var fromBatches = []string{
	"vote_logs", "applied_batches", "dropped_batches", "user_votes", "vote_keys", "voter_votes", "offsets",
	"tickets", "ticket_history", // merged, since the uses in tickets come from batches
	"ledger_epoch", // follows by rules of its own
}

// tables lists what is copied, each after those that it refers to.
func tables(ctx context.Context, db *pgxpool.Pool) ([]table, error) {
	rows, err := db.Query(ctx, `
		SELECT c.oid::regclass::text, array_agg(quote_ident(a.attname) ORDER BY a.attnum)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_%'
			AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname NOT LIKE '%db\_version'
			AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
		GROUP BY c.oid ORDER BY 1`)
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (table, error) {
		var t table
		err := row.Scan(&t.name, &t.columns)
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	all = slices.DeleteFunc(all, func(t table) bool { return slices.Contains(notCopied, t.name) })
	return ordered(ctx, db, all)
}

// ordered puts each table after those that it refers to.
func ordered(ctx context.Context, db *pgxpool.Pool, all []table) ([]table, error) {
	rows, err := db.Query(ctx, "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint WHERE contype = 'f' AND conrelid <> confrelid")
	if err != nil {
		return nil, fmt.Errorf("list what refers to what: %w", err)
	}
	var from, to string
	refers := map[string][]string{}
	if _, err := pgx.ForEachRow(rows, []any{&from, &to}, func() error {
		refers[from] = append(refers[from], to)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("list what refers to what: %w", err)
	}
	var out []table
	placed := map[string]bool{}
	for len(out) < len(all) {
		before := len(out)
		for _, t := range all {
			waits := slices.ContainsFunc(refers[t.name], func(other string) bool {
				return !placed[other] && slices.ContainsFunc(all, func(o table) bool { return o.name == other })
			})
			if !placed[t.name] && !waits {
				placed[t.name] = true
				out = append(out, t)
			}
		}
		if len(out) == before {
			return nil, fmt.Errorf("tables refer to each other in a circle")
		}
	}
	return out, nil
}

// sameSchema lists the tables of the source, or says what the target lacks of them.
func (m *Move) sameSchema(ctx context.Context) ([]table, error) {
	from, err := tables(ctx, m.From)
	if err != nil {
		return nil, err
	}
	to, err := tables(ctx, m.To)
	if err != nil {
		return nil, err
	}
	describe := func(all []table) []string {
		var lines []string
		for _, t := range all {
			lines = append(lines, t.name+" ("+strings.Join(slices.Sorted(slices.Values(t.columns)), ", ")+")")
		}
		slices.Sort(lines)
		return lines
	}
	a, b := describe(from), describe(to)
	for _, line := range a {
		if !slices.Contains(b, line) {
			return nil, fmt.Errorf("the schemas differ: the target lacks %s. Bring both up to date with `littlevote migrate`", line)
		}
	}
	return from, nil
}

// copyTable copies rows as they are.
func copyTable(ctx context.Context, from, to pgx.Tx, t table, into string) (int64, error) {
	columns := join(t.columns)
	reader, writer := io.Pipe()
	go func() {
		_, err := from.Conn().PgConn().CopyTo(ctx, writer, "COPY (SELECT "+columns+" FROM "+t.name+") TO STDOUT (FORMAT binary)")
		_ = writer.CloseWithError(err) // never fails
	}()
	tag, err := to.Conn().PgConn().CopyFrom(ctx, reader, "COPY "+into+" ("+columns+") FROM STDIN (FORMAT binary)")
	_ = reader.CloseWithError(err) // never fails; ends the other side, if it still sends
	if err != nil {
		return 0, fmt.Errorf("copy %s: %w", t.name, err)
	}
	return tag.RowsAffected(), nil
}

func join(columns []string) string { return strings.Join(columns, ", ") }

func names(all []table) string {
	list := make([]string, len(all))
	for i, t := range all {
		list[i] = t.name
	}
	return strings.Join(list, ", ")
}

// setSequences lets each sequence go on behind what was copied.
func setSequences(ctx context.Context, to pgx.Tx) error {
	_, err := to.Exec(ctx, `
		DO $$ DECLARE s record; BEGIN
			FOR s IN SELECT d.refobjid::regclass AS tab, quote_ident(a.attname) AS col, d.objid::regclass AS seq
				FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'
				JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
				WHERE d.deptype IN ('a', 'i') AND d.classid = 'pg_class'::regclass AND c.relname NOT LIKE '%db\_version%'
			LOOP
				EXECUTE format('SELECT setval(%L, coalesce(max(%s), 0) + 1, false) FROM %s', s.seq, s.col, s.tab);
			END LOOP;
		END $$`)
	if err != nil {
		return fmt.Errorf("set the sequences: %w", err)
	}
	return nil
}
