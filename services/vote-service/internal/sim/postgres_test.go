package sim

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/littlevote/littlevote/libs/pgledger"
)

const (
	transactionTimeout = 5 * time.Second
	lockTimeout        = 2 * time.Second
)

// postgres is the tables with their locks: a transaction shares the epoch's row from its beginning to its COMMIT, a change of
// the epoch has it alone.
type postgres struct {
	*tables

	mu           sync.Mutex
	participants map[string]*participant
	sharers      int
	alone        int // the ticket of whoever has the row alone
	tickets      int
	queued       int  // those who want it alone; nobody shares it before them
	writing      bool // some transaction decides votes or mints, or did and has not ended yet
	wrongSwitch  bool // a known-wrong variant: nobody has it alone
}

type participant struct {
	epoch     int64
	stopped   bool
	until     time.Time
	beat      time.Time
	awaySince time.Time
}

// db is one process's way to Postgres.
type db struct {
	*link
}

// arrive is the way there; an error is definite: nothing happened.
func (d *db) arrive(ctx context.Context, name string) error {
	dice := d.dice(d.who + " " + name)
	there := latency(dice, time.Millisecond)
	if wait, sick := d.within(d.sick); sick {
		there += wait
	}
	if !sleep(ctx, there) {
		return ctx.Err()
	}
	if d.dead() {
		return errCrashed
	}
	if _, away := d.within(d.plan.pgAway); away {
		if dice.IntN(2) == 0 {
			return errRefused
		}
		sleep(ctx, transactionTimeout)
		return errNoAnswer
	}
	if dice.Float64() < d.rate(d.plan.pgFails) {
		return errRefused
	}
	return nil
}

// read is a statement that sees one moment.
func read[T any](ctx context.Context, d *db, name string, f func(p *postgres) (T, error)) (T, error) {
	var zero T
	if err := d.arrive(ctx, name); err != nil {
		return zero, err
	}
	d.pg.mu.Lock()
	defer d.pg.mu.Unlock()
	return f(d.pg)
}

// share waits for the row and shares it, until release. Whoever writes has the ballot's row alone as well.
func (d *db) share(ctx context.Context, name string, writes bool) error {
	for {
		d.pg.mu.Lock()
		if d.pg.alone == 0 && d.pg.queued == 0 && (!writes || !d.pg.writing) {
			d.pg.sharers++
			d.pg.writing = d.pg.writing || writes
			d.pg.mu.Unlock()
			return nil
		}
		d.pg.mu.Unlock()
		if !sleep(ctx, 500*time.Microsecond+rand3(d.dice(d.who+" share "+name), time.Millisecond)) {
			return ctx.Err()
		}
	}
}

func (d *db) release(wrote bool) {
	d.pg.mu.Lock()
	defer d.pg.mu.Unlock()
	d.pg.sharers--
	if wrote {
		d.pg.writing = false
	}
}

// transact runs a transaction that shares the row. Its COMMIT may go without an answer, whether or not it comes through, and then
// it may come late.
func transact[T any](ctx context.Context, d *db, name string, f func(t *tables) (T, error)) (T, error) {
	return locked(ctx, d, name, false, f)
}

// locked is transact, of one that decides votes in Postgres or not.
func locked[T any](ctx context.Context, d *db, name string, writes bool, f func(t *tables) (T, error)) (T, error) {
	var zero T
	ctx, cancel := context.WithTimeout(ctx, transactionTimeout)
	defer cancel()
	if err := d.arrive(ctx, name); err != nil {
		return zero, err
	}
	if err := d.share(ctx, name, writes); err != nil {
		return zero, err
	}
	dice := d.dice(d.who + " work " + name)
	work, luck, late := latency(dice, 2*time.Millisecond), dice.Float64(), rand3(dice, 3*time.Second)
	if !sleep(ctx, work) {
		d.release(writes)
		return zero, ctx.Err()
	}
	commit := func() (T, error) {
		defer d.release(writes)
		d.pg.mu.Lock()
		defer d.pg.mu.Unlock()
		return f(d.pg.tables)
	}
	unknown := &pgledger.CommitUnknownError{Cause: errNoAnswer}
	switch {
	case luck < d.rate(d.plan.lostCommit)/3: // it comes after all
		d.all.Go(func() {
			if sleep(d.stop, late) {
				_, err := commit()
				d.note("%s %s comes late: %s", d.who, name, errText(err))
			}
		})
		return zero, unknown
	case luck < d.rate(d.plan.lostCommit)/2:
		d.release(writes)
		d.note("%s %s: COMMIT is lost", d.who, name)
		return zero, unknown
	}
	result, err := commit()
	if err != nil {
		return zero, err
	}
	d.note("%s %s: %s", d.who, name, text(result))
	if luck < d.rate(d.plan.lostCommit) {
		return zero, unknown
	}
	if !sleep(ctx, work) || d.dead() {
		return zero, unknown
	}
	return result, nil
}

// text tells a result without the ids in it that are of chance.
func text(result any) string {
	switch r := result.(type) {
	case pgledger.Epoch:
		return fmt.Sprintf("epoch %d %s %s", r.Number, r.Mode, r.State)
	case pgledger.Result:
		return fmt.Sprintf("%d in epoch %d", r.Verdicts, r.Epoch.Number)
	case pgledger.CastResult:
		s := r.TicketVersion
		for _, v := range r.Verdicts {
			s += " " + string(v.Code)
		}
		return s
	default:
		return fmt.Sprint(result)
	}
}

// only runs a transaction that has the row alone while work goes on, and commits what that returns; nil: nothing.
func (d *db) only(ctx context.Context, name string, work func(ctx context.Context) (commit func(p *postgres), err error)) error {
	if err := d.arrive(ctx, name); err != nil {
		return err
	}
	me, ok := d.waitAlone(ctx, name)
	if !ok {
		return errNoAnswer
	}
	commit, err := work(ctx)
	luck := d.dice(d.who + " commit " + name).Float64()
	d.pg.mu.Lock()
	defer d.pg.mu.Unlock()
	mine := d.pg.alone == me
	if mine {
		d.pg.alone = 0
	}
	switch {
	case err != nil || commit == nil:
		return err
	case !mine || d.dead() || luck < d.rate(d.plan.lostCommit)/2:
		d.note("%s %s: not committed", d.who, name)
		return errNoAnswer
	}
	commit(d.pg)
	d.note("%s %s: %+v", d.who, name, d.pg.epoch.State)
	if luck < d.rate(d.plan.lostCommit) {
		return errNoAnswer
	}
	return nil
}

func (d *db) waitAlone(ctx context.Context, name string) (me int, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	d.pg.mu.Lock()
	d.pg.tickets++
	me = d.pg.tickets
	d.pg.queued++
	d.pg.mu.Unlock()
	defer func() {
		d.pg.mu.Lock()
		defer d.pg.mu.Unlock()
		d.pg.queued--
	}()
	if d.pg.wrongSwitch {
		return 0, true
	}
	for {
		d.pg.mu.Lock()
		if d.pg.alone == 0 && d.pg.sharers == 0 {
			d.pg.alone = me
			d.pg.mu.Unlock()
			return me, true
		}
		d.pg.mu.Unlock()
		if !sleep(ctx, 300*time.Microsecond+rand3(d.dice(d.who+" alone "+name), 500*time.Microsecond)) {
			return 0, false
		}
	}
}

// crash ends the transaction that has the row alone; whoever holds it finds out when it commits.
func (p *postgres) crash() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.alone = 0
}
