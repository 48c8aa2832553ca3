package sim

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/redisledger/ledgermodel"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// commandTimeout is how long a caller waits for Redis.
const commandTimeout = 500 * time.Millisecond

// redis is the nodes; the last one is the primary.
type redis struct {
	mu         sync.Mutex // held while a script runs
	nodes      []*ledgermodel.Ledger
	gone       map[*ledgermodel.Ledger]bool
	sameReplid bool // a known-wrong variant: the new primary can't be told from the old one
}

// lose makes a new primary out of what the old one was a while ago. Whoever still talks to the old one goes on doing so.
func (r *redis) lose(copied *ledgermodel.Ledger) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.sameReplid {
		copied.Promote(len(r.nodes) + 1)
	}
	r.nodes = append(r.nodes, copied)
}

// empty is a restart of the only node that there is: nothing is left of it, and nothing of its connections.
func (r *redis) empty() {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.nodes[len(r.nodes)-1]
	r.gone[old] = true
	fresh := old.Clone()
	fresh.Flush()
	fresh.Promote(len(r.nodes) + 1)
	r.nodes = append(r.nodes, fresh)
}

func (r *redis) copy() *ledgermodel.Ledger {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.nodes[len(r.nodes)-1].Clone()
}

// link is one process's way to Redis.
type link struct {
	*world

	who  string
	dead func() bool
	cut  []span // cut off from Redis
	sick []span // nothing in this process goes on
	old  []span // still talks to the node before the last one
}

func (l *link) node() *ledgermodel.Ledger {
	n := len(l.redis.nodes) - 1
	if _, old := l.within(l.old); old && n > 0 {
		n--
	}
	return l.redis.nodes[n]
}

// call runs a script, somewhere between the request and the answer; an error is that of the way.
func (l *link) call(ctx context.Context, name string, run func(*ledgermodel.Ledger)) error {
	d := l.dice(l.who + " " + name)
	there, back, luck := latency(d, 400*time.Microsecond), latency(d, 400*time.Microsecond), d.Float64()
	late := rand3(d, 3*time.Second)
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	if wait, sick := l.within(l.sick); sick {
		sleep(ctx, wait+there)
	}
	if l.dead() {
		return errCrashed
	}
	if _, cut := l.within(l.cut); cut {
		return &net.OpError{Op: "dial", Err: errRefused}
	}
	if _, away := l.within(l.plan.redisAway); away {
		if d.IntN(2) == 0 {
			return &net.OpError{Op: "dial", Err: errRefused}
		}
		<-ctx.Done()
		return errNoAnswer
	}
	node := l.here()
	execute := func() bool {
		l.redis.mu.Lock()
		defer l.redis.mu.Unlock()
		if l.redis.gone[node] {
			return false
		}
		run(node)
		return true
	}
	if luck < l.rate(l.plan.lostRequest) {
		if d.IntN(2) == 0 { // it comes after all
			l.all.Go(func() {
				if sleep(l.stop, late) && execute() {
					l.note("%s %s arrives late", l.who, name)
				}
			})
		}
		<-ctx.Done()
		l.note("%s %s: no answer", l.who, name)
		return errNoAnswer
	}
	if !sleep(ctx, there) {
		return errNoAnswer
	}
	if !execute() {
		return errNoAnswer
	}
	if luck > 1-l.rate(l.plan.lostReply) || !sleep(ctx, back) {
		<-ctx.Done()
		l.note("%s %s: the answer is lost", l.who, name)
		return errNoAnswer
	}
	if l.dead() {
		return errCrashed
	}
	return nil
}

func (l *link) here() *ledgermodel.Ledger {
	l.redis.mu.Lock()
	defer l.redis.mu.Unlock()
	return l.node()
}

// pass lets time pass in the middle of a script's series.
func (l *link) pass(name string) {
	l.redis.mu.Unlock()
	defer l.redis.mu.Lock()
	sleep(l.stop, latency(l.dice(l.who+" "+name), 2*time.Millisecond))
}

// name of a batch: its votes.
func nameOfPayload(payload []byte) string {
	var o eventv1.OutboxBatch
	if proto.Unmarshal(payload, &o) != nil {
		return "?"
	}
	return nameOfVotes(o.GetBatch())
}

func nameOfVotes(b *eventv1.VoteBatch) string {
	s := ""
	for _, v := range b.GetVotes() {
		s += uuid.UUID(v.GetVoteId()).String()[28:] + " "
	}
	return s
}

func (l *link) Admit(
	ctx context.Context, f redisledger.Fence, b *redisledger.Batch, outboxBound int, s *redisledger.Settlement,
) (a redisledger.Admitted, r redisledger.SettleReply) {
	name := "admit"
	if s != nil {
		name = "settle " + l.nameOf(s.ID) + "and " + name
	}
	if b != nil {
		l.named(b.ID, nameOfPayload(b.Payload))
		name += " " + l.nameOf(b.ID)
	}
	var (
		admitted redisledger.Admitted
		settled  redisledger.SettleReply
	)
	err := l.call(ctx, name, func(n *ledgermodel.Ledger) {
		if s != nil {
			settled = n.Settle(ctx, s)
		}
		if b != nil {
			admitted, _ = n.Admit(ctx, f, b, outboxBound, nil)
		}
	})
	if err != nil {
		return redisledger.Admitted{Err: err}, redisledger.SettleReply{Err: err}
	}
	l.note("%s %s: %v %v %s", l.who, name, admitted.Verdict.Groups, codes(admitted.Verdict), errText(admitted.Err))
	return admitted, settled
}

func codes(v redisledger.Verdict) (list []redisledger.Code) {
	for _, e := range v.Entries {
		list = append(list, e.Code)
	}
	return list
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (l *link) Settle(ctx context.Context, s *redisledger.Settlement) (reply redisledger.SettleReply) {
	name := "settle " + l.nameOf(s.ID)
	if err := l.call(ctx, name, func(n *ledgermodel.Ledger) { reply = n.Settle(ctx, s) }); err != nil {
		return redisledger.SettleReply{Err: err}
	}
	l.note("%s %s: %q %s", l.who, name, reply.How, errText(reply.Err))
	return reply
}

// ask runs a script with one result and an error.
func ask[T any](ctx context.Context, l *link, name string, run func(*ledgermodel.Ledger) (T, error)) (T, error) {
	var (
		result, none T
		failed       error
	)
	if err := l.call(ctx, name, func(n *ledgermodel.Ledger) { result, failed = run(n) }); err != nil {
		return none, err
	}
	return result, failed
}

type none struct{}

func (l *link) Known(ctx context.Context, f redisledger.Fence, ballot string, id uuid.UUID) (redisledger.Verdict, bool) {
	v, err := ask(ctx, l, "known "+l.nameOf(id), func(n *ledgermodel.Ledger) (redisledger.Verdict, error) {
		v, known := n.Known(ctx, f, ballot, id)
		if !known {
			return v, errRefused
		}
		return v, nil
	})
	return v, err == nil
}

func (l *link) Refund(ctx context.Context, f redisledger.Fence, b *redisledger.Batch, v *redisledger.Verdict) (bool, error) {
	ok, err := ask(ctx, l, "refund "+l.nameOf(b.ID), func(n *ledgermodel.Ledger) (bool, error) { return n.Refund(ctx, f, b, v) })
	l.note("%s refunds %s: %t %s", l.who, l.nameOf(b.ID), ok, errText(err))
	return ok, err
}

func (l *link) Claim(ctx context.Context, f redisledger.Fence, ballot string, id uuid.UUID, me string) (
	*redisledger.Claimed, redisledger.How, error,
) {
	type claim struct {
		c   *redisledger.Claimed
		how redisledger.How
	}
	c, err := ask(ctx, l, "claim "+l.nameOf(id), func(n *ledgermodel.Ledger) (c claim, err error) {
		c.c, c.how, err = n.Claim(ctx, f, ballot, id, me)
		return c, err
	})
	l.note("%s claims %s: %t %q %s", l.who, l.nameOf(id), c.c != nil, c.how, errText(err))
	return c.c, c.how, err
}

func (l *link) Remember(ctx context.Context, f redisledger.Fence, ballot string, id uuid.UUID, keys [][]byte) error {
	_, err := ask(ctx, l, "remember "+l.nameOf(id), func(n *ledgermodel.Ledger) (none, error) {
		return none{}, n.Remember(ctx, f, ballot, id, keys)
	})
	return err
}

func (l *link) Due(ctx context.Context, f redisledger.Fence, ballot string, lease time.Duration, limit int) (
	[]uuid.UUID, time.Duration, error,
) {
	var age time.Duration
	ids, err := ask(ctx, l, "due", func(n *ledgermodel.Ledger) (ids []uuid.UUID, err error) {
		ids, age, err = n.Due(ctx, f, ballot, lease, limit)
		return ids, err
	})
	if err != nil {
		return nil, 0, err // a command that comes late may still write the rest
	}
	return ids, age, nil
}

func (l *link) Tally(ctx context.Context, f redisledger.Fence, ballot string, names []string) ([]redisledger.Count, time.Time, error) {
	var at time.Time
	counts, err := ask(ctx, l, "tally", func(n *ledgermodel.Ledger) (c []redisledger.Count, err error) {
		c, at, err = n.Tally(ctx, f, ballot, names)
		return c, err
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	return counts, at, nil
}

func (l *link) LoadNew(ctx context.Context, f redisledger.Fence, b redisledger.Ballot, open func(context.Context) error) error {
	_, err := ask(ctx, l, "load new", func(n *ledgermodel.Ledger) (none, error) {
		return none{}, n.LoadNew(ctx, f, b, func(ctx context.Context) error {
			l.redis.mu.Unlock()
			defer l.redis.mu.Lock()
			return open(ctx)
		})
	})
	return err
}

func (l *link) PutRules(ctx context.Context, f redisledger.Fence, b redisledger.Ballot) error {
	_, err := ask(ctx, l, "rules", func(n *ledgermodel.Ledger) (none, error) { return none{}, n.PutRules(ctx, f, b) })
	return err
}

func (l *link) VoterState(ctx context.Context, f redisledger.Fence, ballot, voter, candidate string) (redisledger.VoterState, error) {
	return ask(ctx, l, "voter", func(n *ledgermodel.Ledger) (redisledger.VoterState, error) {
		return n.VoterState(ctx, f, ballot, voter, candidate)
	})
}

func (l *link) ColdVoters(ctx context.Context, f redisledger.Fence, ballot string, cursor uint64, limit int) (
	[]redisledger.ColdVoter, uint64, error,
) {
	var next uint64
	cold, err := ask(ctx, l, "cold", func(n *ledgermodel.Ledger) (cold []redisledger.ColdVoter, err error) {
		cold, next, err = n.ColdVoters(ctx, f, ballot, cursor, limit)
		return cold, err
	})
	if err != nil {
		return nil, 0, err
	}
	return cold, next, nil
}

func (l *link) EvictVoters(ctx context.Context, f redisledger.Fence, ballot string, cold []redisledger.ColdVoter) (int64, error) {
	return ask(ctx, l, "evict", func(n *ledgermodel.Ledger) (int64, error) { return n.EvictVoters(ctx, f, ballot, cold) })
}

func (l *link) KeyStatus(ctx context.Context, f redisledger.Fence, ballot string, key uuid.UUID) (redisledger.KeyState, uuid.UUID, error) {
	var batch uuid.UUID
	state, err := ask(ctx, l, "key", func(n *ledgermodel.Ledger) (s redisledger.KeyState, err error) {
		s, batch, err = n.KeyStatus(ctx, f, ballot, key)
		return s, err
	})
	if err != nil {
		return "", uuid.Nil, err
	}
	return state, batch, nil
}

func (l *link) Alive(ctx context.Context, f redisledger.Fence, ballot string) error {
	_, err := ask(ctx, l, "alive", func(n *ledgermodel.Ledger) (none, error) { return none{}, n.Alive(ctx, f, ballot) })
	return err
}

func (l *link) Seal(ctx context.Context, f redisledger.Fence, ballot string) error {
	_, err := ask(ctx, l, "seal", func(n *ledgermodel.Ledger) (none, error) { return none{}, n.Seal(ctx, f, ballot) })
	return err
}

func (l *link) Load(ctx context.Context, f redisledger.Fence, b redisledger.Ballot, fresh bool) error {
	_, err := ask(ctx, l, "load", func(n *ledgermodel.Ledger) (none, error) {
		n.Loading = func() error { l.pass("loading"); return nil }
		return none{}, n.Load(ctx, f, b, fresh)
	})
	l.note("%s loads epoch %d: %s", l.who, f.Epoch, errText(err))
	return err
}

func (l *link) Replication(ctx context.Context) (redisledger.Replication, error) {
	return ask(ctx, l, "replication", func(n *ledgermodel.Ledger) (redisledger.Replication, error) { return n.Replication(ctx) })
}

func (l *link) Unlink(ctx context.Context, ns string) error {
	_, err := ask(ctx, l, "unlink", func(n *ledgermodel.Ledger) (none, error) { return none{}, n.Unlink(ctx, ns) })
	return err
}

func (l *link) Ping(ctx context.Context) error {
	return l.call(ctx, "ping", func(*ledgermodel.Ledger) {})
}
