//go:build deps

package deps

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

// precinct is a ledger of some ballots, spread over whatever kind of Redis it is.
type precinct struct {
	t       *testing.T
	dir     string
	kind    string
	at      map[string]Address
	rdb     redis.UniversalClient
	ledger  *redisledger.Ledger
	pinger  *redisledger.Pinger
	fence   redisledger.Fence
	ballots []string
}

func newPrecinct(t *testing.T, kind string) *precinct {
	t.Helper()
	p := &precinct{t: t, dir: testenv.Dir(t), kind: kind, ballots: []string{"a", "b", "c", "d", "e", "f", "g", "h"}}
	t.Cleanup(func() {
		if err := Down(context.Background(), p.dir, log{t}); err != nil {
			t.Error(err)
		}
	})
	p.up()
	url := p.at[kind].Value
	var err error
	if p.rdb, err = redisledger.Open(url, 20, time.Second); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.rdb.Close() })
	if p.pinger, err = redisledger.NewPinger(config.Redis{URL: url}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.pinger.Close() })
	p.ledger = redisledger.New(p.rdb)
	p.open(1)
	return p
}

func (p *precinct) up() {
	p.t.Helper()
	all, err := Up(p.t.Context(), p.dir, Options{Only: []string{p.kind}, Progress: log{p.t}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.at = map[string]Address{}
	for _, a := range all {
		p.at[a.Name] = a
	}
}

// open loads an epoch, and casts a vote in each ballot.
func (p *precinct) open(epoch int64) {
	p.t.Helper()
	ctx := p.t.Context()
	p.fence = redisledger.Fence{Epoch: epoch, NS: redisledger.NewNS()}
	for _, b := range p.ballots {
		counts := []redisledger.Count{{Name: "A", Votes: 41, UpdatedAt: time.Now()}}
		if err := p.ledger.Load(ctx, p.fence, redisledger.Ballot{Name: b, State: "open", Counts: counts}, true); err != nil {
			p.t.Fatal(err)
		}
		m := redisledger.Mint{Number: 1, Version: "v", Value: "ticket", Cap: 1000, Interval: time.Hour}
		if done, _, _, err := p.ledger.Mint(ctx, p.fence, b, m); err != nil || done != redisledger.MintDone {
			p.t.Fatal(done, err)
		}
		batch, a := p.vote(b)
		if a.Err != nil || a.Verdict.Accepted() != 1 {
			p.t.Fatalf("%+v", a)
		}
		s := redisledger.Settlement{Fence: p.fence, ID: batch, Ballot: b, AdmittedAt: a.Verdict.At, Names: []string{"A"}, Counts: []int64{1}}
		if r := p.ledger.Settle(ctx, &s); r.Err != nil || r.Totals[0] != 42 {
			p.t.Fatalf("%+v", r)
		}
	}
}

func (p *precinct) vote(ballot string) (uuid.UUID, redisledger.Admitted) {
	batch := &redisledger.Batch{
		ID: uuid.Must(uuid.NewV7()), Ballot: ballot, Payload: []byte("vote"), Tickets: []string{""},
		Groups: []redisledger.Group{{Votes: 1}},
	}
	a, _ := p.ledger.Admit(p.t.Context(), p.fence, batch, 100, nil)
	return batch.ID, a
}

// kill ends the node at an address, as kill -9 does.
func (p *precinct) kill(at string) {
	p.t.Helper()
	for _, a := range p.at {
		if a.Value == at {
			p.t.Logf("killing %s", a.Name)
			if err := syscall.Kill(a.PID, syscall.SIGKILL); err != nil {
				p.t.Fatal(err)
			}
			return
		}
	}
	p.t.Fatalf("no node at %s", at)
}

// lost waits until a ballot's ledger is no longer there, and fails if it ever takes a vote after it was not.
func (p *precinct) lost(ballot string) {
	p.t.Helper()
	testenv.Eventually(p.t, 30*time.Second, func() error {
		_, a := p.vote(ballot)
		if errors.Is(a.Err, redisledger.ErrWrongEpoch) {
			return nil
		}
		return fmt.Errorf("a vote: %w", errors.Join(a.Err, errors.New("not yet another node")))
	})
	if err := p.ledger.Alive(p.t.Context(), p.fence, ballot); !errors.Is(err, redisledger.ErrWrongEpoch) {
		p.t.Fatal(err)
	}
}

func (p *precinct) answers() {
	p.t.Helper()
	testenv.Eventually(p.t, 30*time.Second, func() error { return p.pinger.Ping(p.t.Context()) })
	r, err := p.ledger.Replication(p.t.Context())
	if err != nil || !r.Master {
		p.t.Fatalf("%+v %v", r, err)
	}
}

// H11: a promoted replica is another node, whether or not it missed anything: its ballots are lost, the others go on.
func TestClusterFailoverIsSeenByEveryScript(t *testing.T) {
	p := newPrecinct(t, RedisCluster)
	p.answers()
	if r, err := p.ledger.Replication(t.Context()); err != nil || !r.Replicas {
		t.Fatalf("%+v %v", r, err)
	}
	cluster, ok := p.rdb.(*redis.ClusterClient)
	if !ok {
		t.Fatalf("%T", p.rdb)
	}
	master := func(ballot string) string {
		node, err := cluster.MasterForKey(t.Context(), "{"+ballot+"}")
		if err != nil {
			t.Fatal(err)
		}
		return node.Options().Addr
	}
	dead, on := master("a"), map[string]string{}
	for _, b := range p.ballots {
		on[b] = master(b)
	}
	p.kill(dead)
	testenv.Eventually(t, 10*time.Second, func() error {
		if p.pinger.Ping(t.Context()) == nil {
			return errors.New("a cluster without one of its masters answers")
		}
		return nil
	})
	p.lost("a")
	p.answers()
	for b, at := range on {
		err := p.ledger.Alive(t.Context(), p.fence, b)
		if (at == dead) != errors.Is(err, redisledger.ErrWrongEpoch) {
			t.Errorf("ballot %s, on the dead node %v: %v", b, at == dead, err)
		}
	}
	old := p.fence
	p.open(2)
	if err := p.ledger.Unlink(t.Context(), old.NS); err != nil {
		t.Fatal(err)
	}
	for _, b := range p.ballots {
		if n, err := p.rdb.Exists(t.Context(), "{"+b+"}:"+old.NS+":marker").Result(); err != nil || n != 0 {
			t.Errorf("ballot %s has its old marker: %v", b, err)
		}
	}
	p.up() // the dead one comes back as a replica
}

func TestSentinelFailoverIsSeenByEveryScript(t *testing.T) {
	p := newPrecinct(t, RedisSentinel)
	p.answers()
	p.kill(p.at[sentinelData()[0]].Value)
	p.lost("a")
	p.answers()
	p.open(2)
	p.up()
}

// A slot moves to another node: half moved, nothing runs; moved, the node is not the one that the ballot was loaded on.
func TestSlotThatMovesIsAnotherLedger(t *testing.T) {
	p := newPrecinct(t, RedisCluster)
	ctx := t.Context()
	cluster, _ := p.rdb.(*redis.ClusterClient)
	from, err := cluster.MasterForKey(ctx, "{a}")
	if err != nil {
		t.Fatal(err)
	}
	var to *redis.Client
	for _, b := range p.ballots {
		if node, err := cluster.MasterForKey(ctx, "{"+b+"}"); err == nil && node.Options().Addr != from.Options().Addr {
			to = node
		}
	}
	slot := cluster.ClusterKeySlot(ctx, "{a}").Val()
	id := func(n *redis.Client) string { return n.Do(ctx, "CLUSTER", "MYID").String() }
	fromID, toID := name(id(from)), name(id(to))
	must := func(node *redis.Client, args ...any) {
		t.Helper()
		if err := node.Do(ctx, args...).Err(); err != nil {
			t.Fatal(args, err)
		}
	}
	must(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", fromID)
	must(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", toID)
	keys, err := from.ClusterGetKeysInSlot(ctx, int(slot), 100).Result()
	if err != nil || len(keys) < 3 {
		t.Fatal(keys, err)
	}
	host, port, _ := strings.Cut(to.Options().Addr, ":")
	for i, key := range keys {
		must(from, "MIGRATE", host, port, key, 0, 5000)
		if _, a := p.vote("a"); a.Err == nil || !redisledger.NoEffect(a.Err) {
			t.Fatalf("%d of %d keys moved: %+v", i+1, len(keys), a)
		}
	}
	if err := p.ledger.Alive(ctx, p.fence, "a"); !errors.Is(err, redisledger.ErrWrongEpoch) {
		t.Fatalf("all moved, not yet the owner: %v", err)
	}
	for _, node := range []*redis.Client{to, from} {
		must(node, "CLUSTER", "SETSLOT", slot, "NODE", toID)
	}
	p.lost("a")
}

// name takes a node's id out of what the client prints.
func name(reply string) string { return reply[strings.LastIndex(reply, " ")+1:] }

// H15, F9: at the memory limit nothing is admitted; what was admitted is finished all the same, and everything is read.
func TestRedisAtItsMemoryLimit(t *testing.T) {
	p := newPrecinct(t, Redis)
	ctx := t.Context()
	limit := func(bytes string) {
		t.Helper()
		if err := p.rdb.ConfigSet(ctx, "maxmemory", bytes).Err(); err != nil {
			t.Fatal(err)
		}
	}
	key := uuid.Must(uuid.NewV7())
	keyed := &redisledger.Batch{
		ID: uuid.Must(uuid.NewV7()), Ballot: "a", Tickets: []string{""},
		Entries: []redisledger.Entry{{Key: key[:], BodyHash: make([]byte, 16), Voter: "ann", VoteID: key}},
	}
	admitted, _ := p.ledger.Admit(ctx, p.fence, keyed, 100, nil)
	settled, a := p.vote("a")
	claimed, c := p.vote("a")
	if err := errors.Join(admitted.Err, a.Err, c.Err); err != nil {
		t.Fatal(err)
	}
	limit("1")
	if _, a := p.vote("a"); !redisledger.NoEffect(a.Err) || !redisledger.OutOfMemory(a.Err) {
		t.Fatalf("%+v", a)
	}
	r := p.ledger.Settle(ctx, &redisledger.Settlement{
		Fence: p.fence, ID: settled, Ballot: "a", AdmittedAt: a.Verdict.At, Names: []string{"A", "new"}, Counts: []int64{1, 1},
	})
	_, _, claim := p.ledger.Claim(ctx, p.fence, "a", claimed, "me")
	refunded, refund := p.ledger.Refund(ctx, p.fence, keyed, &admitted.Verdict)
	counts, _, tally := p.ledger.Tally(ctx, p.fence, "a", []string{"A", "new"})
	_, cut := p.ledger.Cut(ctx, p.fence, "a")
	next := redisledger.Mint{Number: 2, Version: "v2", Value: "next", Cap: 1, Interval: time.Hour}
	minted, _, _, mint := p.ledger.Mint(ctx, p.fence, "a", next)
	for what, err := range map[string]error{
		"settle": r.Err, "claim": claim, "refund": refund, "tally": tally, "cut": cut, "mint": mint,
		"remember": p.ledger.Remember(ctx, p.fence, "a", claimed, [][]byte{key[:], make([]byte, 16)}),
		"rules":    p.ledger.PutRules(ctx, p.fence, redisledger.Ballot{Name: "b", Rules: 9, State: "closed"}),
		"seal":     p.ledger.Seal(ctx, p.fence, "c"), "seal what is not there": p.ledger.Seal(ctx, p.fence, "z"),
		"alive": p.ledger.Alive(ctx, p.fence, "a"), "ping": p.pinger.Ping(ctx),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if !refunded || minted != redisledger.MintDone || counts[0].Votes != 43 || counts[1].Votes != 1 {
		t.Errorf("refunded %v, minted %s, counts %v", refunded, minted, counts)
	}
	limit("0")
	if _, a := p.vote("a"); a.Err != nil || a.Verdict.Accepted() != 1 {
		t.Fatalf("%+v", a)
	}
}
