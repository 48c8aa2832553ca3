package ledgermodel

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/redisledger"
)

// Ledger is a Redis with any number of epochs in it.
type Ledger struct {
	// Loading is called in the middle of each Load, if it is set: an error there is a loader that dies.
	Loading func() error

	now      func() time.Time
	replid   int
	replicas bool
	ballots  map[place]*ballot
}

// place is where a ballot's keys stand.
type place struct{ ns, ballot string }

// New returns an empty Redis whose TIME is now.
func New(now func() time.Time) *Ledger {
	return &Ledger{now: now, ballots: map[place]*ballot{}}
}

// Clone returns a Redis with the same state, as a replica that has come so far; Promote makes it a primary of its own.
func (l *Ledger) Clone() *Ledger {
	c := &Ledger{Loading: l.Loading, now: l.now, replid: l.replid, replicas: l.replicas, ballots: make(map[place]*ballot, len(l.ballots))}
	for p, b := range l.ballots {
		c.ballots[p] = b.clone()
	}
	return c
}

// Promote gives it another replication id, as a restart or a failover does. Its state stays. No two Redises of one
// simulation may be promoted to the same id.
func (l *Ledger) Promote(id int) { l.replid = id }

// SetReplicas says whether replicas are connected.
func (l *Ledger) SetReplicas(connected bool) { l.replicas = connected }

// Flush loses everything, the replication id excepted.
func (l *Ledger) Flush() { clear(l.ballots) }

// ballot is what stands under one ballot's keys.
type ballot struct {
	marker  marker
	ticket  *ticket // nil: none was ever minted
	last    int64   // number of the last ticket minted
	fence   *int64  // of the last minter
	outbox  map[uuid.UUID]entry
	claims  map[uuid.UUID]bool
	done    map[int64]*expiring[uuid.UUID, redisledger.How]
	seen    map[bucket]*expiring[string, seen]
	voters  map[field]voter
	tally   map[string]int64
	updated map[string]int64
	names   map[string]bool
}

type marker struct {
	sealed        bool
	loading       bool
	epoch         int64
	replid        int
	rules         int64
	state         string
	opens, closes int64 // ms, 0: no bound
	loaded        int64 // ms, 0: from an empty ledger
	admissions    int64
	votesPerVoter int64
	period        int64 // ms, 0: none
	perCandidate  bool
	ticketless    bool
	hotFor        int64  // ms, 0: nothing is hot
	hotFrom       *int64 // ms; nil: nothing that was made before the load is known to be complete
	evicted       bool
}

type entry struct {
	at      int64 // ms
	verdict redisledger.Verdict
	payload []byte
}

// bucket names a hash of seen keys.
type bucket struct {
	slice int64
	part  int
}

type seen struct {
	batch uuid.UUID
	hash  string
}

type voter struct {
	last  uuid.UUID
	votes []uuid.UUID
}

// expiring is a hash with a time to live.
type expiring[K comparable, V any] struct {
	until int64 // ms; over from then on
	m     map[K]V
}

func newBallot() *ballot {
	return &ballot{
		outbox: map[uuid.UUID]entry{}, claims: map[uuid.UUID]bool{},
		done: map[int64]*expiring[uuid.UUID, redisledger.How]{}, seen: map[bucket]*expiring[string, seen]{},
		voters: map[field]voter{}, tally: map[string]int64{}, updated: map[string]int64{}, names: map[string]bool{},
	}
}

func (b *ballot) clone() *ballot {
	c := *b
	if b.ticket != nil {
		t := *b.ticket
		c.ticket = &t
	}
	c.outbox, c.claims, c.voters = maps.Clone(b.outbox), maps.Clone(b.claims), maps.Clone(b.voters)
	c.tally, c.updated, c.names = maps.Clone(b.tally), maps.Clone(b.updated), maps.Clone(b.names)
	c.done = make(map[int64]*expiring[uuid.UUID, redisledger.How], len(b.done))
	for k, e := range b.done {
		c.done[k] = &expiring[uuid.UUID, redisledger.How]{e.until, maps.Clone(e.m)}
	}
	c.seen = make(map[bucket]*expiring[string, seen], len(b.seen))
	for k, e := range b.seen {
		c.seen[k] = &expiring[string, seen]{e.until, maps.Clone(e.m)}
	}
	return &c
}

func (l *Ledger) ms() int64 { return l.now().UnixMilli() }

// fenced returns the ballot if its keys hold the epoch's ledger.
func (l *Ledger) fenced(f redisledger.Fence, name string) (*ballot, error) {
	b := l.ballots[place{f.NS, name}]
	if b == nil || b.marker.sealed || b.marker.loading || b.marker.epoch != f.Epoch || b.marker.replid != l.replid {
		return nil, redisledger.ErrWrongEpoch
	}
	return b, nil
}

// Load begins, fills and finishes a ballot.
func (l *Ledger) Load(ctx context.Context, f redisledger.Fence, b redisledger.Ballot, fresh bool) error {
	n, err := l.begin(f, b, fresh)
	if err != nil {
		return err
	}
	if l.Loading != nil {
		if err := l.Loading(); err != nil {
			return err
		}
	}
	if err := n.loadVoters(ctx, b); err != nil {
		return err
	}
	for _, c := range b.Counts {
		n.tally[c.Name], n.updated[c.Name], n.names[c.Name] = c.Votes, c.UpdatedAt.UnixMilli(), true
	}
	return l.finish(f, b, n)
}

func (l *Ledger) begin(f redisledger.Fence, b redisledger.Ballot, fresh bool) (*ballot, error) {
	p := place{f.NS, b.Name}
	if old := l.ballots[p]; old != nil && (old.marker.sealed || !old.marker.loading) {
		return nil, fmt.Errorf("ledgermodel: load %s: %w", b.Name, redisledger.ErrWrongEpoch)
	}
	n := newBallot()
	n.marker = marker{loading: true, epoch: f.Epoch, replid: l.replid, admissions: b.Admissions, loaded: l.ms()}
	if fresh {
		n.marker.loaded = 0
	}
	n.rules(b)
	if m := &n.marker; fresh || b.Admissions == 0 {
		m.hotFrom = new(int64)
	} else if m.hotFor > 0 && b.HotVotes != nil {
		from := max(0, l.ms()-m.hotFor)
		m.hotFrom = &from
	}
	l.ballots[p] = n
	return n, nil
}

func (l *Ledger) finish(f redisledger.Fence, b redisledger.Ballot, n *ballot) error {
	if l.ballots[place{f.NS, b.Name}] != n || n.marker.sealed || n.marker.replid != l.replid {
		return fmt.Errorf("ledgermodel: load %s: %w", b.Name, redisledger.ErrWrongEpoch)
	}
	n.marker.loading = false
	return nil
}

func (b *ballot) rules(r redisledger.Ballot) {
	m := &b.marker
	m.rules, m.state, m.votesPerVoter = r.Rules, r.State, max(0, r.VotesPerVoter)
	m.period, m.perCandidate, m.ticketless = r.VoterPeriod.Milliseconds(), r.PerCandidate, r.Ticketless
	m.hotFor = 0
	if m.perCandidate && m.period == 0 {
		m.hotFor = r.HotFor.Milliseconds()
	}
	m.opens, m.closes = bound(r.OpensAt), bound(r.ClosesAt)
}

func bound(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// LoadNew begins a ballot that is new in its epoch, asks whether that is still open, and finishes it.
func (l *Ledger) LoadNew(
	ctx context.Context, f redisledger.Fence, b redisledger.Ballot, open func(context.Context) error,
) error {
	n, err := l.begin(f, b, true)
	if err != nil {
		return err
	}
	if err := open(ctx); err != nil {
		return fmt.Errorf("ledgermodel: load %s: %w", b.Name, err)
	}
	return l.finish(f, b, n)
}

// PutRules brings a ballot newer rules.
func (l *Ledger) PutRules(_ context.Context, f redisledger.Fence, r redisledger.Ballot) error {
	b, err := l.fenced(f, r.Name)
	if err != nil {
		return err
	}
	if r.Rules > b.marker.rules {
		b.rules(r)
	}
	return nil
}

// Seal ends a ballot's keys for good.
func (l *Ledger) Seal(_ context.Context, f redisledger.Fence, name string) error {
	p := place{f.NS, name}
	if l.ballots[p] == nil {
		l.ballots[p] = newBallot()
	}
	l.ballots[p].marker.sealed = true
	return nil
}

// Alive reports whether the ballot's keys still hold the epoch's ledger.
func (l *Ledger) Alive(_ context.Context, f redisledger.Fence, name string) error {
	_, err := l.fenced(f, name)
	return err
}

// Replication tells the role.
func (l *Ledger) Replication(context.Context) (redisledger.Replication, error) {
	return redisledger.Replication{Master: true, Replicas: l.replicas}, nil
}

// Ping always gets its answer.
func (l *Ledger) Ping(context.Context) error { return nil }

// Unlink deletes every key of a name.
func (l *Ledger) Unlink(_ context.Context, ns string) error {
	maps.DeleteFunc(l.ballots, func(p place, _ *ballot) bool { return p.ns == ns })
	return nil
}

// waiting returns the outbox in its order: by time, then by id.
func (b *ballot) waiting() []uuid.UUID {
	return slices.SortedFunc(maps.Keys(b.outbox), func(x, y uuid.UUID) int {
		if d := b.outbox[x].at - b.outbox[y].at; d != 0 {
			return int(d)
		}
		return bytes.Compare(x[:], y[:])
	})
}
