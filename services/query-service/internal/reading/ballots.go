package reading

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/loader"
	"github.com/littlevote/littlevote/libs/pgledger"
)

const (
	// lookUpTime bounds one look-up in the directory, on the way of reads of other ballots in the same call.
	lookUpTime = 250 * time.Millisecond
	// lookUpRest is how long Postgres is left alone after a look-up failed.
	lookUpRest = time.Second
)

// ballots is the directory of ballots, each with the reads that wait for it. It is read anew all the time; what a reader
// must know more exactly is looked up.
type ballots struct {
	pool    *pgxpool.Pool
	open    func(*rules) *shelf
	log     *slog.Logger
	lookups *loader.Loader[string, *shelf]

	mu    sync.RWMutex
	names map[string]*shelf
	rest  time.Time // until when nothing is looked up
}

func newBallots(pool *pgxpool.Pool, open func(*rules) *shelf, log *slog.Logger) *ballots {
	d := &ballots{pool: pool, open: open, log: log, names: map[string]*shelf{}}
	d.lookups = loader.New(loader.Config{Span: "look up ballots", Workers: 2, Batch: 1000, Queue: 10_000, Timeout: lookUpTime}, d.look)
	return d
}

// known returns the shelf of a ballot that is in the directory.
func (d *ballots) known(name string) *shelf {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.names[name]
}

// find looks a ballot up that is not in the directory yet; nil if there is no such ballot. That there is none is not remembered: it may
// be made, and voted on, the next moment, and then its votes are to be seen.
func (d *ballots) find(ctx context.Context, name string) (*shelf, error) {
	if !validName(name) || faultpoint.Mutant("directory-trusted") {
		return nil, nil //nolint:nilnil // none is an answer
	}
	return d.renew(ctx, name)
}

// validName refuses what no ballot is called: "name", or "tenant.name".
func validName(name string) bool {
	const maxTenant, maxName = 32, 64
	part := 0
	dotted := false
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-':
			part++
		case c == '.' && !dotted && 1 <= part && part <= maxTenant:
			dotted, part = true, 0
		default:
			return false
		}
	}
	return 1 <= part && part <= maxName
}

var errRests = errors.New("the directory could not be read a moment ago")

// renew returns the shelf of a ballot with its row as it is now, or later; nil if there is no such ballot. It joins only
// look-ups that have not begun.
func (d *ballots) renew(ctx context.Context, name string) (*shelf, error) {
	d.mu.RLock()
	rests := time.Now().Before(d.rest)
	d.mu.RUnlock()
	if rests {
		return nil, errRests
	}
	found, err := d.lookups.Load(ctx, []string{name}, true)
	return found[name], err
}

// look returns the shelves of those ballots that there are.
func (d *ballots) look(ctx context.Context, names []string) (map[string]*shelf, error) {
	began := time.Now()
	rows, err := pgledger.BallotsNamed(ctx, d.pool, names)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.rest = time.Now().Add(lookUpRest)
		d.log.WarnContext(ctx, "ballots could not be looked up", "error", err)
		return nil, err
	}
	found := make(map[string]*shelf, len(rows))
	for i := range rows {
		found[rows[i].Name] = d.put(&rules{Ballot: rows[i], begun: began})
	}
	return found, nil
}

// put takes a row over, unless a newer one is known.
func (d *ballots) put(row *rules) *shelf {
	known := d.names[row.Name]
	if known == nil {
		known = d.open(row)
		d.names[row.Name] = known
		return known
	}
	known.learn(row)
	return known
}

func (d *ballots) all() []*shelf {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := make([]*shelf, 0, len(d.names))
	for _, s := range d.names {
		list = append(list, s)
	}
	return list
}

func (d *ballots) ready(context.Context) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if len(d.names) == 0 {
		return errors.New("the ballots are not read yet")
	}
	return nil
}

// run reads the ballots again and again, until ctx ends; while Postgres is away they stay as they are.
func (d *ballots) run(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		began := time.Now()
		list, err := pgledger.Ballots(ctx, d.pool)
		if err != nil && ctx.Err() == nil {
			d.log.WarnContext(ctx, "the ballots could not be read", "error", err)
		}
		d.mu.Lock()
		for i := range list {
			d.put(&rules{Ballot: list[i], begun: began})
		}
		d.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
