package e2e

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/tools/e2e/internal/fixture"
	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/system"
)

// TestS83BackupAndRestore backs the database up while votes go on, as pg_dump does, goes on for a while, and then loses the
// database and Redis. In a new database with what the backup holds the persisters go on at the backup's offsets, so that the
// log brings all votes since; an epoch in an empty Redis is loaded from there.
//
// The tickets are long, so that the backup has all of them: of tickets that are newer than a backup only the uses come back.
func TestS83BackupAndRestore(t *testing.T) {
	const voters, progress = 8, 100
	redis := fixture.OwnRedis(t)
	s := fixture.Start(t, system.Config{Replicas: 2, Stores: system.Stores{Redis: redis}, Flags: restorable()})
	history := &checker.History{}
	c := gather(t, s.Gateways, history, voters, alternating(true))
	c.awaitMore(t, progress)
	testenv.Eventually(t, progressTimeout, func() error {
		if n := rows(t, s); n < progress/2 {
			return fmt.Errorf("%d rows in Postgres", n)
		}
		return nil
	})
	backup := backUp(t, s.Pool)
	c.awaitMore(t, progress)
	c.stop()
	resolve(t, s.Gateways[1], history)
	s.Stop()
	if err := fixture.Flush(redis); err != nil {
		t.Fatal(err)
	}

	restored := testenv.Postgres(t)
	command(t, 0, "migrate", "--postgres-url", restored)
	s.MovePostgres(t, restored)
	restore(t, s.Pool, backup)
	had := rows(t, s)
	began := time.Now()
	for _, one := range s.All() {
		one.Start()
	}
	for _, one := range s.All() {
		one.AwaitReady(t)
	}
	for _, gateway := range s.Gateways {
		system.AwaitAnswers(t, gateway)
	}
	ledger := s.Verify(t, s.Gateways[0], history)
	t.Logf("the backup has %d votes; %d more came from the log, all agree %v after the start", had, len(ledger.Rows)-had, time.Since(began).Round(time.Millisecond))
	if had == 0 || had >= len(ledger.Rows) {
		t.Errorf("the backup has %d of %d votes", had, len(ledger.Rows))
	}
	c = gather(t, s.Gateways, history, voters, alternating(true))
	c.awaitMore(t, progress)
	c.stop()
	s.Verify(t, s.Gateways[1], history)
}

// restorable are flags under which a restore brings everything back. What Postgres alone has taken is lost, so a Kafka that is slow for a
// moment is waited for.
func restorable() map[system.Kind][]string {
	return map[system.Kind][]string{
		system.Ticket: {"--ticket-cap=none", "--ticket-interval=10m"},
		system.Vote:   {"--vote-produce-timeout=10s"},
	}
}

// TestS83BackupBeforeAChangeOfEpoch restores a backup from which the log goes on into epochs that it does not know: persisters halt
// there, and `littlevote restored` lets them go on, epoch by epoch, before anybody decides votes.
func TestS83BackupBeforeAChangeOfEpoch(t *testing.T) {
	const voters, progress = 4, 50
	redis := fixture.OwnRedis(t)
	s := fixture.Start(t, system.Config{Stores: system.Stores{Redis: redis}, Flags: restorable()})
	history := &checker.History{}
	c := gather(t, s.Gateways, history, voters, alternating(true))
	c.awaitMore(t, progress)
	backup := backUp(t, s.Pool)
	for range 2 {
		c.awaitMore(t, progress)
		command(t, 0, "epoch", "end", "--postgres-url", s.Postgres)
		c.awaitMore(t, progress)
	}
	c.stop()
	resolve(t, s.Gateways[0], history)
	s.Stop()
	if err := fixture.Flush(redis); err != nil {
		t.Fatal(err)
	}
	target := testenv.Postgres(t)
	command(t, 0, "migrate", "--postgres-url", target)
	s.MovePostgres(t, target)
	restore(t, s.Pool, backup)
	persister := s.Service(system.Persister, 0)
	persister.Start()
	steps := 0
	for ; steps < 10; steps++ {
		said := command(t, 0, "restored", "--postgres-url", target, "--kafka-brokers", strings.Join(s.Stores.Kafka, ","), "--kafka-topic-prefix", s.TopicPrefix)
		if t.Log(said); t.Failed() {
			t.FailNow()
		}
		if strings.Contains(said, "applied to its end") {
			break
		}
		persister.Stop(t)
		persister.Start()
	}
	if steps == 0 || steps == 10 {
		t.Errorf("it took %d steps for two changes of epoch", steps)
	}
	for _, one := range s.All() {
		if one != persister {
			one.Start()
		}
	}
	for _, one := range s.All() {
		one.AwaitReady(t)
	}
	system.AwaitAnswers(t, s.Gateways[0])
	allThere(t, s, history)
	c = gather(t, s.Gateways, history, voters, alternating(true))
	c.awaitMore(t, progress)
	c.stop()
	allThere(t, s, history)
}

// allThere is Verify for a ledger that knows of tickets newer than its backup only how often they were used.
func allThere(t *testing.T, s *system.System, history *checker.History) {
	t.Helper()
	testenv.Eventually(t, progressTimeout, func() error {
		ledger, err := s.Read(t.Context(), s.Gateways[0])
		if err != nil {
			return err
		}
		for _, v := range checker.Check(history.Attempts(), ledger) {
			return fmt.Errorf("%s", v)
		}
		return s.Fsck(t.Context())
	})
}

// dump is the content of a table, and the list of its columns.
type dump struct {
	table, columns string
	content        bytes.Buffer
}

// backUp copies all tables as of one moment.
func backUp(t *testing.T, db *pgxpool.Pool) []*dump {
	t.Helper()
	var all []*dump
	err := pgx.BeginTxFunc(t.Context(), db, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		rows, err := tx.Query(t.Context(), `
			SELECT c.relname::text, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
			FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
			WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname NOT LIKE '%\_db\_version'
				AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
			GROUP BY 1 ORDER BY 1`)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*dump, error) {
			d := &dump{}
			return d, row.Scan(&d.table, &d.columns)
		})
		for _, d := range all {
			if err == nil {
				_, err = tx.Conn().PgConn().CopyTo(t.Context(), &d.content, "COPY (SELECT "+d.columns+" FROM "+d.table+") TO STDOUT (FORMAT binary)")
			}
		}
		return err
	})
	if err != nil || len(all) < 10 {
		t.Fatalf("back up %d tables: %v", len(all), err)
	}
	return all
}

// restore puts a backup in the place of what a new database holds.
func restore(t *testing.T, db *pgxpool.Pool, backup []*dump) {
	t.Helper()
	var names []string
	for _, d := range backup {
		names = append(names, d.table)
	}
	err := pgx.BeginFunc(t.Context(), db, func(tx pgx.Tx) error { return refill(t.Context(), tx, names, backup) })
	if err != nil {
		t.Fatalf("restore: %v", err)
	}
}

func refill(ctx context.Context, tx pgx.Tx, names []string, backup []*dump) error {
	// Constraints between tables and triggers wait, as pg_restore lets them.
	if _, err := tx.Exec(ctx, "SET LOCAL session_replication_role = replica; TRUNCATE "+strings.Join(names, ", ")); err != nil {
		return err
	}
	for _, d := range backup {
		if _, err := tx.Conn().PgConn().CopyFrom(ctx, &d.content, "COPY "+d.table+" ("+d.columns+") FROM STDIN (FORMAT binary)"); err != nil {
			return fmt.Errorf("%s: %w", d.table, err)
		}
	}
	_, err := tx.Exec(ctx, "SELECT setval(pg_get_serial_sequence('audit', 'id'), coalesce(max(id), 0) + 1, false) FROM audit") // the only one
	return err
}
