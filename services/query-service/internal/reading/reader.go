// Package reading finds the counts of a ballot: in the store that decides its votes, else in Postgres as soon as that has every vote
// that was acknowledged before.
package reading

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
)

// Epochs says which ledger may be read now, and whether what it said may still be told.
type Epochs interface {
	Current() (epoch.Ledger, bool)
	Live(l epoch.Ledger) bool
	Suspect()
	RedisAway() bool
}

// Stores is what a Reader reads from.
type Stores struct {
	Redis   *redisledger.Ledger
	Replica *pgxpool.Pool // nil: there is none
	Primary *pgxpool.Pool
	Timeout time.Duration // of one statement
}

const (
	// replicaRest is how long a replica that failed is left alone: a read must not wait for it each time.
	replicaRest = 5 * time.Second
	// exactAtOnce bounds the statements for reads with tokens: they may be repeated until a deadline, on the server that
	// decides votes meanwhile.
	exactAtOnce = 8
	// shortestWait and longestWait bound the pause before the stores are asked again.
	shortestWait = 20 * time.Millisecond
	longestWait  = 200 * time.Millisecond
)

// Reader reads from one store after the other.
type Reader struct {
	Stores

	epochs      Epochs
	replicaBack atomic.Int64 // Unix nanoseconds; before that the replica is not asked
	exact       chan struct{}
	applied     watermark
}

// NewReader returns a reader.
func NewReader(stores Stores, epochs Epochs) *Reader {
	return &Reader{Stores: stores, epochs: epochs, exact: make(chan struct{}, exactAtOnce)}
}

// question is what a store is asked, and what its answer must hold: every vote that was acknowledged before, and that of the token.
type question struct {
	ballot string
	names  []string        // empty: all
	token  *pgledger.Token // nil: none
	begun  time.Time       // by the clock here
}

// counts is what a store said of a ballot.
type counts struct {
	list   []redisledger.Count // in the order of the names asked for; by name, if all were asked for
	source queryv1.Source
	stale  bool
	asOf   time.Time // by the store's clock; what was acknowledged before is in the counts
	epoch  int64     // that was on, as the store had it
}

var (
	errNotOpen = errors.New("redis: no epoch is open there, as far as this process may believe")
	errAway    = errors.New("redis: no answer for a while")
	errNone    = errors.New("replica: there is none")
	errResting = errors.New("replica: it failed a moment ago")
	errOlder   = errors.New("the token's vote is not there yet")
	errBehind  = errors.New("it may lack votes that are acknowledged")
)

// read returns counts as soon as a store has what they must hold.
func (r *Reader) read(ctx context.Context, ballot string, names []string) (counts, error) {
	q := question{ballot: ballot, names: names, begun: time.Now()}
	for {
		before := r.look()
		c, err := r.first(ctx, q)
		if !errors.Is(err, errBehind) || !r.wait(ctx, q.begun, before) {
			return c, err
		}
	}
}

// first asks one store after the other: the one that decides votes, then those that may lag. A store counts only if it has what the
// answer must hold.
func (r *Reader) first(ctx context.Context, q question) (counts, error) {
	ledger, open := r.epochs.Current()
	c, err := r.fromRedis(ctx, ledger, open, q)
	switch {
	case err == nil && q.token != nil && c.epoch < q.token.Epoch:
		r.epochs.Suspect() // the epoch has changed, and this process will know in a moment
		return counts{}, errOlder
	case err == nil:
		return c, nil
	}
	causes := []error{err}
	if q.token != nil {
		select {
		case r.exact <- struct{}{}:
			defer func() { <-r.exact }()
		case <-ctx.Done():
			return counts{}, ctx.Err()
		}
	}
	servers := []server{r.fromReplica, r.fromPrimary}
	if open && ledger.Mode == epoch.Postgres {
		slices.Reverse(servers)
	}
	for _, from := range servers {
		c, err := from(ctx, q)
		if err == nil {
			return c, nil
		}
		causes = append(causes, err)
	}
	return counts{}, errors.Join(causes...)
}

// server reads from one Postgres server.
type server func(ctx context.Context, q question) (counts, error)

// fromRedis reads the live counts, while Redis is the ledger.
func (r *Reader) fromRedis(ctx context.Context, ledger epoch.Ledger, open bool, q question) (counts, error) {
	switch {
	case !open || ledger.Mode != epoch.Redis:
		return counts{}, errNotOpen
	case r.epochs.RedisAway():
		return counts{}, errAway
	}
	list, asOf, err := r.Redis.Tally(ctx, ledger.Fence(), q.ballot, q.names)
	if errors.Is(err, redisledger.ErrWrongEpoch) {
		r.epochs.Suspect()
	}
	if err != nil {
		return counts{}, fmt.Errorf("redis: %w", err)
	}
	if !r.epochs.Live(ledger) {
		return counts{}, errNotOpen
	}
	if len(q.names) == 0 {
		sortByName(list)
	}
	return counts{list: list, source: queryv1.Source_SOURCE_REDIS, asOf: asOf, epoch: ledger.Epoch}, nil
}

// fromReplica reads counts that are never those of a store that decides votes.
func (r *Reader) fromReplica(ctx context.Context, q question) (counts, error) {
	switch {
	case r.Replica == nil:
		return counts{}, errNone
	case time.Now().UnixNano() < r.replicaBack.Load():
		return counts{}, errResting
	}
	c, err := r.fromPostgres(ctx, r.Replica, q, func(pgledger.Epoch) bool { return false })
	c.source = queryv1.Source_SOURCE_POSTGRES_REPLICA
	r.rest(ctx, err)
	if err != nil {
		return c, fmt.Errorf("replica: %w", err)
	}
	return c, nil
}

// rest leaves the replica alone for a while, if it did not answer.
func (r *Reader) rest(ctx context.Context, err error) {
	answered := err == nil || errors.Is(err, errOlder) || errors.Is(err, errBehind) || errors.Is(err, pgledger.ErrNoEpoch)
	if !answered && ctx.Err() == nil {
		r.replicaBack.Store(time.Now().Add(replicaRest).UnixNano())
	}
}

// fromPrimary reads counts that are exact if votes are decided there: the statement reads the epoch's row with them, so
// it does not matter what this process believes.
func (r *Reader) fromPrimary(ctx context.Context, q question) (counts, error) {
	c, err := r.fromPostgres(ctx, r.Primary, q, decides)
	c.source = queryv1.Source_SOURCE_POSTGRES_PRIMARY
	if err != nil {
		return c, fmt.Errorf("primary: %w", err)
	}
	return c, nil
}

// fromPostgres reads counts that lack nothing that was acknowledged before the question: where votes are not decided on the server by
// itself, it must have applied what was in the log by then.
func (r *Reader) fromPostgres(ctx context.Context, pool *pgxpool.Pool, q question, exact func(pgledger.Epoch) bool) (counts, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	var asked []string // nil: all
	if len(q.names) > 0 {
		asked = q.names
	}
	age := time.Since(q.begun) // before the statement, so that the question is as old at least by the server's clock
	read, err := pgledger.TalliesAt(ctx, pool, q.ballot, asked, q.token)
	if err != nil {
		return counts{}, err
	}
	r.follow(read.Epoch)
	c := counts{list: listed(read.Tallies, q.names), asOf: read.At, epoch: read.Epoch.Number, stale: !exact(read.Epoch)}
	if c.stale {
		c.asOf = read.CaughtUp
	}
	switch {
	case !read.Seen:
		return counts{}, errOlder
	case c.asOf.Before(read.At.Add(-age)) && !faultpoint.Mutant("behind-shown"):
		return counts{}, errBehind
	}
	return c, nil
}

// follow lets this process learn at once of an epoch that a read has met before its heartbeat did.
func (r *Reader) follow(row pgledger.Epoch) {
	if ledger, open := r.epochs.Current(); open && ledger.Epoch < row.Number {
		r.epochs.Suspect()
	}
}

// decides says that votes were decided in Postgres under this row, so that every acknowledged one is in the counts.
func decides(row pgledger.Epoch) bool {
	return row.State == "open" && epoch.Mode(row.Mode) == epoch.Postgres
}

// listed puts rows into the order of the names; without names they are by name already.
func listed(rows []pgledger.Tally, names []string) []redisledger.Count {
	all := make([]redisledger.Count, len(rows))
	index := make(map[string]int, len(rows))
	for i, t := range rows {
		all[i] = redisledger.Count{Name: t.Username, Votes: t.Votes, UpdatedAt: t.UpdatedAt}
		index[t.Username] = i
	}
	if len(names) == 0 {
		return all
	}
	return pick(all, index, names)
}

func sortByName(list []redisledger.Count) {
	slices.SortFunc(list, func(a, b redisledger.Count) int { return cmp.Compare(a.Name, b.Name) })
}

// pause waits; false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
