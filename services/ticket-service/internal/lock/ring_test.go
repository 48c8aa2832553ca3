package lock

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

// rings are nodes of one list, all of them announced.
func rings(t *testing.T, rdb redis.UniversalClient, n int, life time.Duration) []*Ring {
	t.Helper()
	key := testenv.Namespace(t)
	list := make([]*Ring, n)
	for i := range list {
		list[i] = NewRing(rdb, key, life)
	}
	for _, r := range list {
		if _, err := r.live(t.Context(), life); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func client(t *testing.T) redis.UniversalClient {
	t.Helper()
	rdb, err := redisledger.Open(testenv.Redis(t), 10, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// runner lets every node try, and returns the one that has the lock now, with its claim.
func runner(t *testing.T, list []*Ring) (int, Claim) {
	t.Helper()
	at, claim := -1, Claim(nil)
	for i, r := range list {
		c, err := r.Take(t.Context())
		switch {
		case errors.Is(err, ErrTaken):
		case err != nil:
			t.Fatal(err)
		case claim != nil:
			t.Fatal("two nodes have the lock")
		default:
			at, claim = i, c
		}
	}
	if claim == nil {
		t.Fatal("no node has the lock")
	}
	return at, claim
}

// Whoever asks first, the node that the ring names gets the lock; when it leaves, the one that the ring names then.
func TestS55TheRingElectsOneOfTheLive(t *testing.T) {
	t.Parallel()
	const life = 10 * time.Second
	list := rings(t, client(t), 5, life)
	var fence int64
	for len(list) > 1 {
		names := make([]string, len(list))
		for i, r := range list {
			names[i] = r.node
		}
		slices.Sort(names)
		at, claim := runner(t, list)
		if want := elect(names); list[at].node != want {
			t.Errorf("%s has the lock, the ring names %s of %d", list[at].node, want, len(names))
		}
		if claim.Fence() <= fence {
			t.Errorf("fence %d after %d", claim.Fence(), fence)
		}
		fence = claim.Fence()
		if err := claim.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		list = slices.Delete(list, at, at+1)
	}
}

func TestS55OnlyTheRunnersComingAndGoingMatters(t *testing.T) {
	names := make([]string, 100)
	runs := map[string]int{}
	for i := range names {
		names[i] = fmt.Sprint("node ", i)
	}
	for n := len(names); n > 1; n-- {
		first := elect(names[:n])
		for i := range n {
			if got := elect(slices.Delete(slices.Clone(names[:n]), i, i+1)); (got == first) == (names[i] == first) {
				t.Fatalf("of %d: %s, without %s: %s", n, first, names[i], got)
			}
		}
		runs[first]++
	}
	if len(runs) < 3 {
		t.Errorf("the same few nodes run for every list: %v", runs)
	}
}

// A node that is alive by name only, as it was killed while it waited, does not keep the others waiting for longer than a lock lasts.
func TestS57TheWaitForADeadNodeIsBounded(t *testing.T) {
	t.Parallel()
	waits := rings(t, client(t), 1, life)[0]
	dead := NewRing(waits.lock.rdb, waits.lock.keys[0], life)
	for {
		names, err := dead.live(t.Context(), life/2) // as a node does that waits
		if err != nil {
			t.Fatal(err)
		}
		if elect(names) == dead.node {
			break
		}
		dead.node += "'" // until the ring names it
	}
	if _, err := waits.Take(t.Context()); !errors.Is(err, ErrTaken) {
		t.Fatalf("took the lock out of turn: %v", err)
	}
	began := time.Now()
	testenv.Eventually(t, 10*time.Second, func() error {
		_, err := waits.Take(t.Context())
		return err
	})
	if took := time.Since(began); took > life {
		t.Errorf("waited %v", took)
	}
}

// The clocks of the nodes are never asked: on a Redis whose clock is 20 years behind all of it works.
func TestS55EqualClocksAreNotNeeded(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	now := time.Date(2006, 1, 2, 15, 4, 5, 0, time.UTC)
	server.SetTime(now)
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = rdb.Close() })
	list := rings(t, rdb, 3, life)
	at, _ := runner(t, list)
	rest := slices.Delete(slices.Clone(list), at, at+1)
	for _, r := range rest {
		if _, err := r.Take(t.Context()); !errors.Is(err, ErrTaken) {
			t.Errorf("a second runner: %v", err)
		}
	}
	// The runner and one of the others die.
	server.SetTime(now.Add(life))
	server.FastForward(life)
	names, err := rest[0].live(t.Context(), life)
	if err != nil || !slices.Equal(names, []string{rest[0].node}) {
		t.Errorf("%v are alive, %v", names, err)
	}
	if _, err := rest[0].Take(t.Context()); err != nil {
		t.Errorf("the only one that is left: %v", err)
	}
}
