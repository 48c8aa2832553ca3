package dbmove

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// stateMoving is the state of an epoch's row in a database that is a copy on its way; see package epoch.
const stateMoving = "moving"

// applicationName tells our own connections from those that a switch ends.
const applicationName = "littlevote dbmove"

// Move is the two databases.
type Move struct {
	From, To *pgxpool.Pool
	Log      func(format string, args ...any) // for people
}

// Open opens both. It needs the rights of the owner of both databases.
func Open(ctx context.Context, from, to string, log func(string, ...any)) (*Move, error) {
	m := &Move{Log: log}
	var err error
	if m.From, err = open(ctx, "--from", from); err != nil {
		return nil, err
	}
	if m.To, err = open(ctx, "--to", to); err != nil {
		m.From.Close()
		return nil, err
	}
	return m, nil
}

// Close ends all connections.
func (m *Move) Close() {
	m.From.Close()
	m.To.Close()
}

func open(ctx context.Context, flag, url string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("%s: expected postgres://user:password@host:port/database", flag)
	}
	const poolSize = 4
	cfg.MaxConns = poolSize
	for name, value := range map[string]string{
		"application_name": applicationName,
		// A copy takes as long as it takes.
		"statement_timeout": "0", "idle_in_transaction_session_timeout": "0",
		// A source that was frozen can be read and thawed.
		"default_transaction_read_only": "off",
	} {
		cfg.ConnConfig.RuntimeParams[name] = value
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return pool, nil
}

// snapshot reads the source as of one moment.
func (m *Move) snapshot(ctx context.Context, read func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, m.From, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, read)
}

// row is ledger_epoch.
type row struct {
	Epoch int64
	Mode  string
	State string
}

var errNoLedger = errors.New("there is no ledger: no epoch was ever opened")

func readRow(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) (row, error) {
	var r row
	err := db.QueryRow(ctx, "SELECT epoch, mode, state FROM ledger_epoch").Scan(&r.Epoch, &r.Mode, &r.State)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, errNoLedger
	}
	return r, err
}

// isCopy refuses a target that is no copy on its way.
func (m *Move) isCopy(ctx context.Context) (row, error) {
	r, err := readRow(ctx, m.To)
	if err != nil {
		return r, fmt.Errorf("the target: %w", err)
	}
	if r.State != stateMoving {
		return r, fmt.Errorf("the target is no copy on its way: its epoch %d is %s. Begin with `dbmove start`", r.Epoch, r.State)
	}
	return r, nil
}
