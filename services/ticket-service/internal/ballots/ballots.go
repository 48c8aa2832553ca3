// Package ballots knows which ballots there are and what their tickets are like, as Postgres says.
package ballots

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/loader"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/ticket"
)

const (
	// refreshEvery is how old the directory may be while Postgres answers.
	refreshEvery = time.Second
	queryTimeout = 5 * time.Second
	// askTimeout bounds a look at single ballots, for which somebody waits.
	askTimeout = 250 * time.Millisecond
)

// Ballot is what minting and reading need to know.
type Ballot struct {
	Name       string
	Open       bool          // tickets are minted
	Ticketless bool          // votes need no ticket, so none is minted
	Cap        int64         // of each ticket, or redisledger.NoCap
	Interval   time.Duration // how long a ticket is valid
	Form       ticket.Form   // what its value looks like
	ClosesAt   time.Time     // zero: never, by the clock
}

// Closed says whether the ballot's time is over, by the clock of the ledger.
func (b Ballot) Closed(now time.Time) bool { return !b.ClosesAt.IsZero() && !now.Before(b.ClosesAt) }

// TakesVotes says whether there are, or soon will be, tickets that can be used.
func (b Ballot) TakesVotes(now time.Time) bool { return b.Open && !b.Closed(now) }

// Set holds ballots by name; it is never changed.
type Set map[string]Ballot

// Rule is what the configuration says of a built-in ballot.
type Rule struct {
	Ballot   string
	Cap      int64 // or redisledger.NoCap
	Interval time.Duration
}

// Directory is a copy of the table that is refreshed every second. While Postgres is away the last copy stays.
type Directory struct {
	pool  *pgxpool.Pool
	rules []Rule
	log   *slog.Logger
	known atomic.Pointer[Set] // nil until it was read
	asked *loader.Loader[string, Ballot]
}

// NewDirectory returns an empty directory; Run fills it.
func NewDirectory(pool *pgxpool.Pool, rules []Rule, log *slog.Logger) *Directory {
	d := &Directory{pool: pool, rules: rules, log: log}
	d.asked = loader.New(loader.Config{Span: "look up ballots", Workers: 2, Batch: 1000, Queue: 10_000, Timeout: askTimeout}, d.find)
	return d
}

// Get returns a ballot.
func (d *Directory) Get(name string) (Ballot, bool) {
	known := d.known.Load()
	if known == nil {
		return Ballot{}, false
	}
	b, ok := (*known)[name]
	return b, ok
}

// Ask returns a ballot as Postgres has it now. That there is none, or that it takes no votes, may be old news in Get.
func (d *Directory) Ask(ctx context.Context, name string) (b Ballot, ok bool, err error) {
	found, err := d.asked.Load(ctx, []string{name}, true)
	b, ok = found[name]
	return b, ok, err
}

func (d *Directory) find(ctx context.Context, names []string) (map[string]Ballot, error) {
	rows, err := pgledger.BallotsNamed(ctx, d.pool, names)
	return setOf(rows), err
}

// Set returns all ballots, nil as long as they could not be read; another pointer whenever something has changed.
func (d *Directory) Set() *Set { return d.known.Load() }

// Ready is a health check: nil once the directory has been read.
func (d *Directory) Ready(context.Context) error {
	if d.known.Load() == nil {
		return errors.New("the ballots could not be read from Postgres yet")
	}
	return nil
}

// Run writes the configuration into the table, once, and then follows the table until ctx ends. Nothing is minted by
// rules that the configuration overrides.
func (d *Directory) Run(ctx context.Context) error {
	ticker := time.NewTicker(refreshEvery)
	defer ticker.Stop()
	applied, failing := false, false
	for {
		err := d.look(ctx, &applied)
		if err != nil && !failing && ctx.Err() == nil {
			d.log.WarnContext(ctx, "the ballots cannot be read now; still trying", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (d *Directory) look(ctx context.Context, applied *bool) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	if !*applied {
		if err := d.apply(ctx); err != nil {
			return err
		}
		*applied = true
	}
	return d.refresh(ctx)
}

// apply makes the configuration win for the built-in ballots.
func (d *Directory) apply(ctx context.Context) error {
	batch := &pgx.Batch{}
	for _, r := range d.rules {
		var ticketCap *int64
		if r.Cap != redisledger.NoCap {
			ticketCap = &r.Cap
		}
		batch.Queue(`
			UPDATE ballots SET ticket_cap = $2, ticket_interval_ms = $3
			WHERE ballot = $1 AND state <> 'certified' AND (ticket_cap IS DISTINCT FROM $2 OR ticket_interval_ms <> $3)`,
			r.Ballot, ticketCap, r.Interval.Milliseconds())
	}
	if err := d.pool.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("write the settings of the built-in ballots: %w", err)
	}
	return nil
}

func (d *Directory) refresh(ctx context.Context) error {
	rows, err := pgledger.Ballots(ctx, d.pool)
	if err != nil {
		return err
	}
	if known, before := setOf(rows), d.known.Load(); before == nil || !maps.Equal(*before, known) {
		d.known.Store(&known)
	}
	return nil
}

func setOf(rows []pgledger.Ballot) Set {
	set := make(Set, len(rows))
	for _, row := range rows {
		b := Ballot{
			Name: row.Name, Open: row.State == "open" && !row.Ticketless, Ticketless: row.Ticketless,
			Cap: redisledger.NoCap, Interval: row.TicketInterval, Form: ticket.Form(row.TicketForm),
		}
		if row.TicketCap != nil {
			b.Cap = *row.TicketCap
		}
		if row.ClosesAt != nil {
			b.ClosesAt = row.ClosesAt.UTC()
		}
		set[b.Name] = b
	}
	return set
}
