package pgledger

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// NoCap is the cap of a ticket that any number of votes may use.
const NoCap = -1

// Ticket is the newest ticket of a ballot in an epoch in Postgres.
type Ticket struct {
	Value     string
	Version   string
	Cap       int64 // or NoCap
	Left      int64 // uses left, or NoCap
	CreatedAt time.Time
	ExpiresAt time.Time
}

// TicketState is what a minter and a reader need to know.
type TicketState struct {
	Now        time.Time // the clock of Postgres
	LastNumber int64     // of the last ticket minted in this epoch, 0 if none
	Successor  string    // version of the ticket that is stored for the next window; empty if there is none
	Newest     *Ticket   // nil if there never was one; may be expired
}

// Usable says whether the newest ticket admits votes now.
func (s TicketState) Usable() bool { return s.Newest != nil && s.Now.Before(s.Newest.ExpiresAt) }

// ticketRow is a minted ticket.
type ticketRow struct {
	Version   string
	Value     string
	Cap       *int64
	Used      int64
	CreatedAt time.Time
	ExpiresAt time.Time
}

func (r *ticketRow) left() int64 {
	if r.Cap == nil {
		return NoCap
	}
	return max(0, *r.Cap-r.Used)
}

func (r *ticketRow) ticket() *Ticket {
	t := &Ticket{
		Value: r.Value, Version: r.Version, Cap: NoCap, Left: r.left(), CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt,
	}
	if r.Cap != nil {
		t.Cap = *r.Cap
	}
	return t
}

// The tickets of an epoch are known by their versions: those of the epoch before, by another clock, may lie ahead.
const (
	newestTicket = `
		SELECT version, value, cap, used, created_at, expires_at FROM tickets
		WHERE ballot = $1 AND version LIKE $2 AND created_at <= $3 ORDER BY created_at DESC LIMIT 1`
	nextTicket = `
		SELECT version, value, cap, used, created_at, expires_at FROM tickets
		WHERE ballot = $1 AND version LIKE $2 AND created_at > $3 ORDER BY created_at DESC LIMIT 1`
)

// ticketsOf is the pattern of an epoch's ticket versions.
func ticketsOf(epoch int64) string { return strconv.FormatInt(epoch, 10) + ".%" }

// ReadTicket reads the newest ticket of a ballot in an epoch in Postgres, or returns ErrNotOpen. It needs the primary.
func ReadTicket(ctx context.Context, db DB, epoch int64, ballot string) (TicketState, error) {
	rows, err := db.Query(ctx, `
		WITH clock AS MATERIALIZED (SELECT date_trunc('milliseconds', clock_timestamp()) AS now)
		SELECT c.now, coalesce(p.last_number, 0), coalesce(s.version, ''),
			n.version, n.value, n.cap, n.used, n.created_at, n.expires_at
		FROM clock c CROSS JOIN ledger_epoch e
		LEFT JOIN pg_ballots p ON p.epoch = e.epoch AND p.ballot = $2
		LEFT JOIN LATERAL (
			SELECT * FROM tickets t WHERE p.last_number > 0 AND t.ballot = $2 AND t.version LIKE $3 AND t.created_at <= c.now
			ORDER BY t.created_at DESC LIMIT 1) n ON true
		LEFT JOIN LATERAL (
			SELECT t.version FROM tickets t WHERE p.last_number > 0 AND t.ballot = $2 AND t.version LIKE $3 AND t.created_at > c.now
			ORDER BY t.created_at DESC LIMIT 1) s ON true
		WHERE e.epoch = $1 AND e.mode = 'pg' AND e.state = 'open'`, epoch, ballot, ticketsOf(epoch))
	if err != nil {
		return TicketState{}, fmt.Errorf("read the ticket: %w", err)
	}
	var (
		state            TicketState
		row              ticketRow
		version, value   *string
		used             *int64
		created, expires *time.Time
	)
	tag, err := pgx.ForEachRow(rows, []any{
		&state.Now, &state.LastNumber, &state.Successor, &version, &value, &row.Cap, &used, &created, &expires,
	}, func() error { return nil })
	if err != nil {
		return TicketState{}, fmt.Errorf("read the ticket: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return TicketState{}, ErrNotOpen
	}
	if version != nil && value != nil {
		row.Version, row.Value, row.Used, row.CreatedAt, row.ExpiresAt = *version, *value, *used, *created, *expires
		state.Newest = row.ticket()
	}
	return state, nil
}

// Mint is a proposal for the ticket that is missing.
type Mint struct {
	Number   int64 // one more than TicketState.LastNumber
	Version  string
	Value    string
	Cap      int64 // or NoCap
	Interval time.Duration
	Fence    int64 // of the lock that the minter holds; 0 without a lock
}

// Minted says what became of a proposal.
type Minted string

// The ends of a proposal. Only MintDone made a ticket.
const (
	MintDone    Minted = "MINTED"
	MintAlready Minted = "ALREADY" // ticket and successor are there
	MintStale   Minted = "STALE"   // the number was taken: read the state again
	MintFenced  Minted = "FENCED"  // a later holder of the lock has minted
)

// MintTicket makes the missing ticket of a ballot in an epoch in Postgres, by the rules that mint.lua has in Redis; on
// MintDone created and expires are its window. It writes tickets and ticket_history. Whoever got no answer to COMMIT
// reads the state again.
func MintTicket(ctx context.Context, pool *pgxpool.Pool, epoch int64, ballot string, m Mint) (
	done Minted, created, expires time.Time, err error,
) {
	var result mint
	err = retry(ctx, func() error {
		result = mint{Mint: m, epoch: epoch, ballot: ballot}
		return onConnection(ctx, pool, &result)
	})
	if err != nil {
		return "", time.Time{}, time.Time{}, fmt.Errorf("mint a ticket: %w", err)
	}
	return result.done, result.created, result.expires, nil
}

type mint struct {
	Mint
	epoch            int64
	ballot           string
	done             Minted
	created, expires time.Time
}

func (m *mint) run(ctx context.Context, t tx) error {
	var held pgHeld
	if err := held.take(ctx, t, m.epoch, m.ballot); err != nil {
		return err
	}
	newest, next, err := m.look(ctx, t, held)
	if err != nil {
		return err
	}
	running := newest != nil && held.now.Before(newest.ExpiresAt)
	switch {
	case m.Fence < held.fence:
		m.done = MintFenced
	case running && next:
		m.done = MintAlready
	case m.Number != held.lastNumber+1:
		m.done = MintStale
	default:
		m.done = MintDone
	}
	if m.done != MintDone {
		return errNothing
	}
	m.created = held.now
	if running {
		m.created = newest.ExpiresAt // the windows adjoin
	}
	m.expires = m.created.Add(m.Interval)
	return m.write(ctx, t)
}

func (m *mint) look(ctx context.Context, t tx, held pgHeld) (newest *ticketRow, next bool, err error) {
	if held.lastNumber == 0 {
		return nil, false, nil
	}
	batch := &pgx.Batch{}
	read := func(statement string, use func(*ticketRow)) {
		batch.Queue(statement, m.ballot, ticketsOf(m.epoch), held.now).Query(func(rows pgx.Rows) error {
			found, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[ticketRow])
			if len(found) > 0 {
				use(found[0])
			}
			return err
		})
	}
	read(newestTicket, func(row *ticketRow) { newest = row })
	read(nextTicket, func(*ticketRow) { next = true })
	if err := t.SendBatch(ctx, batch).Close(); err != nil {
		return nil, false, fmt.Errorf("read the tickets: %w", err)
	}
	return newest, next, nil
}

func (m *mint) write(ctx context.Context, t tx) error {
	var limit *int64
	if m.Cap != NoCap {
		limit = &m.Cap
	}
	args := []any{m.ballot, m.Version, m.Value, limit, m.created, m.expires}
	batch := &pgx.Batch{}
	batch.Queue("INSERT INTO tickets (ballot, version, value, cap, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)", args...)
	batch.Queue("INSERT INTO ticket_history (ballot, version, value, cap, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)", args...)
	batch.Queue("UPDATE pg_ballots SET last_number = $3, fence = greatest(fence, $4) WHERE epoch = $1 AND ballot = $2",
		m.epoch, m.ballot, m.Number, m.Fence)
	if err := t.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("write the ticket: %w", err)
	}
	return nil
}
