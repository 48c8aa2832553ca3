package redisledger

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Ballot is what the scripts need to know of a ballot, and what its ledger begins an epoch with.
type Ballot struct {
	Name       string
	State      string // admission needs "open"
	OpensAt    time.Time
	ClosesAt   time.Time // zero means no bound, like OpensAt
	Admissions int64     // the last admission number
	Counts     []Count
}

// NewNS returns a fresh random name for an epoch's keys.
func NewNS() string { return strings.ToLower(rand.Text()[:16]) }

// Load writes a ballot under a fresh name, the marker last. fresh says that no vote was ever admitted before, so that
// no key needs a look-up on that account.
func (l *Ledger) Load(ctx context.Context, f Fence, b Ballot, fresh bool) error {
	k := f.Keys(b.Name)
	now, err := l.rdb.Time(ctx).Result()
	if err != nil {
		return fmt.Errorf("redisledger: load %s: %w", b.Name, err)
	}
	const chunk = 500
	for from := 0; from < len(b.Counts); from += chunk {
		if err := l.loadCounts(ctx, k, b.Counts[from:min(from+chunk, len(b.Counts))]); err != nil {
			return fmt.Errorf("redisledger: load %s: %w", b.Name, err)
		}
	}
	loaded := now.UnixMilli()
	if fresh {
		loaded = 0
	}
	err = l.rdb.HSet(ctx, k.marker(), "epoch", f.Epoch, "state", b.State, "opens", millis(b.OpensAt),
		"closes", millis(b.ClosesAt), "loaded", loaded, "admissions", b.Admissions).Err()
	if err != nil {
		return fmt.Errorf("redisledger: load %s: %w", b.Name, err)
	}
	return nil
}

func (l *Ledger) loadCounts(ctx context.Context, k Keys, counts []Count) error {
	tally := make([]any, 0, 2*len(counts))
	updated := make([]any, 0, 2*len(counts))
	names := make([]any, 0, len(counts))
	for _, c := range counts {
		tally = append(tally, c.Name, c.Votes)
		updated = append(updated, c.Name, c.UpdatedAt.UnixMilli())
		names = append(names, c.Name)
	}
	_, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, k.tally(), tally...)
		p.HSet(ctx, k.updated(), updated...)
		p.SAdd(ctx, k.names(), names...)
		return nil
	})
	return err
}

func millis(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprint(t.UnixMilli())
}

// Seal ends a ballot's keys under a name for good, if they are still there.
func (l *Ledger) Seal(ctx context.Context, f Fence, ballot string) error {
	r := l.one(ctx, call{script: sealScript, keys: []string{f.Keys(ballot).marker()}})
	return r.err
}

// Alive reports whether the ballot's keys still hold the epoch's ledger; ErrWrongEpoch if they do not.
func (l *Ledger) Alive(ctx context.Context, f Fence, ballot string) error {
	_, err := l.Ticket(ctx, f, ballot)
	return err
}

// Replication is what a Redis says of its role.
type Replication struct {
	ReplID   string // empty where Redis has none
	Master   bool
	Replicas bool // at least one is connected
}

// Replication asks the Redis for its role; one without replication is a master without an id.
func (l *Ledger) Replication(ctx context.Context) (Replication, error) {
	info, err := l.rdb.Info(ctx, "replication").Result()
	if err != nil {
		if _, ok := err.(redis.Error); ok { //nolint:errorlint // a reply of the server itself, never wrapped
			return Replication{Master: true}, nil
		}
		return Replication{}, err
	}
	r := Replication{Master: !strings.Contains(info, "role:slave")}
	for line := range strings.Lines(info) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "master_replid":
			r.ReplID = value
		case "connected_slaves":
			r.Replicas = value != "0"
		}
	}
	return r, nil
}

// Unlink deletes every key of a name that no epoch uses any more.
func (l *Ledger) Unlink(ctx context.Context, ns string) error {
	iter := l.rdb.Scan(ctx, 0, Pattern(ns), 1000).Iterator()
	for iter.Next(ctx) {
		if err := l.rdb.Unlink(ctx, iter.Val()).Err(); err != nil {
			return fmt.Errorf("redisledger: unlink %s: %w", ns, err)
		}
	}
	return iter.Err()
}
