package lock

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"
	rendezvous "github.com/dgryski/go-rendezvous"
	"github.com/redis/go-redis/v9"
)

//go:embed announce.lua
var announceSource string

// Ring lets the nodes elect by themselves who takes the lock, and leaves it in Redis that only one holds it: each node keeps
// itself in a list of the live ones there, and of these consistent hashing names the runner. Nobody else tries to take the lock, so
// who comes next is known before it is needed, and is the same for all.
//
// A runner that lives is not replaced when a node joins, whomever the ring names then: a hand-over for nothing would cost
// a renewal. Who is alive is said by the clock of Redis alone; those of the nodes may differ.
type Ring struct {
	lock     *Redis
	node     string   // this one's name, new with each process
	nodes    []string // the key of the list
	announce *redis.Script
}

// NewRing returns the backend of a node that is not in the list yet; a lock lasts for ttl.
func NewRing(rdb redis.UniversalClient, key string, ttl time.Duration) *Ring {
	return &Ring{
		lock: NewRedis(rdb, key, ttl), node: rand.Text(), nodes: []string{"{" + key + "}:nodes"},
		announce: redis.NewScript(announceSource),
	}
}

// Take implements Backend. ErrTaken also says that it is another's turn.
func (r *Ring) Take(ctx context.Context) (Claim, error) {
	// A node that waits and dies must not be waited for longer than the lock of the one that it waits for.
	live, err := r.live(ctx, r.lock.ttl/2)
	if err != nil {
		return nil, err
	}
	if elect(live) != r.node {
		return nil, ErrTaken
	}
	claim, err := r.lock.Take(ctx)
	if err != nil {
		return nil, err
	}
	return &ringClaim{Claim: claim, ring: r}, nil
}

// live announces this node for a time, and returns the nodes that are alive.
func (r *Ring) live(ctx context.Context, life time.Duration) ([]string, error) {
	live, err := r.announce.Run(ctx, r.lock.rdb, r.nodes, r.node, life.Milliseconds()).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("lock: announce: %w", err)
	}
	return live, nil
}

// elect names the runner among the live nodes. A node that comes or goes changes that only if it is the runner itself.
func elect(live []string) string {
	const task = "create_ticket"
	return rendezvous.New(live, xxhash.Sum64String).Lookup(task)
}

// ringClaim is a claim whose holder stays in the list.
type ringClaim struct {
	Claim
	ring *Ring
}

func (c *ringClaim) Renew(ctx context.Context) error {
	// The list first, so that a dead holder is never in it for longer than its lock lasts.
	if _, err := c.ring.live(ctx, c.Life()); err != nil {
		return err
	}
	return c.Claim.Renew(ctx)
}

// Release also leaves the list, so that the others elect anew at once.
func (c *ringClaim) Release(ctx context.Context) error {
	left := c.ring.lock.rdb.ZRem(ctx, c.ring.nodes[0], c.ring.node).Err()
	if left != nil {
		left = fmt.Errorf("lock: leave: %w", left)
	}
	return errors.Join(left, c.Claim.Release(ctx))
}
