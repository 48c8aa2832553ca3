package dbmove

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/testenv"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// road is a source with a ledger, and an empty target.
type road struct {
	*Move
	t              *testing.T
	fromURL, toURL string
	source, target *pgxpool.Pool
	topic          uuid.UUID
	admissions     int64
}

func newRoad(t *testing.T) *road {
	t.Helper()
	t.Parallel()
	r := &road{t: t, topic: uuid.New()}
	r.fromURL, r.source = newDatabase(t, true)
	r.toURL, r.target = newDatabase(t, false)
	r.exec(r.source, "INSERT INTO ledger_epoch (epoch, mode, state, ns, replicated, reason) VALUES (7, 'redis', 'open', 'n', false, 'test')")
	r.exec(r.source, "INSERT INTO offsets VALUES ($1, 0, 0, now())", r.topic)
	var err error
	if r.Move, err = Open(t.Context(), r.fromURL, r.toURL, t.Logf); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// newDatabase returns a database and connections that do, or do not, obey when it says that it is read-only.
func newDatabase(t *testing.T, obeys bool) (string, *pgxpool.Pool) {
	t.Helper()
	address := testenv.Postgres(t)
	if err := pgledger.Migrate(t.Context(), address, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	own := address
	if !obeys {
		own = insist(t, address)
	}
	pool, err := pgledger.Open(t.Context(), config.Postgres{URL: own, PoolSize: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return address, pool
}

// insist is the URL of the second persister group.
func insist(t *testing.T, given string) string {
	u, err := url.Parse(given)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("default_transaction_read_only", "off")
	u.RawQuery = q.Encode()
	return u.String()
}

func (r *road) exec(pool *pgxpool.Pool, sql string, args ...any) {
	r.t.Helper()
	if _, err := pool.Exec(r.t.Context(), sql, args...); err != nil {
		r.t.Fatal(err)
	}
}

// writable says whether a service finds a server there that takes writes.
func (r *road) writable(address string) bool {
	r.t.Helper()
	pool, err := pgledger.Open(r.t.Context(), config.Postgres{URL: address, PoolSize: 1})
	if err != nil {
		r.t.Fatal(err)
	}
	defer pool.Close()
	_, err = pool.Exec(r.t.Context(), "UPDATE ledger_epoch SET reason = reason")
	return err == nil
}

func (r *road) count(pool *pgxpool.Pool, sql string) (n int64) {
	r.t.Helper()
	if err := pool.QueryRow(r.t.Context(), sql).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

func newID(t *testing.T) []byte {
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return id[:]
}

// batch is a batch of an epoch with two votes: a keyed one of a voter for A, and one for A and B.
func (r *road) batch(epoch int64) pgledger.Event {
	r.admissions += 2
	return pgledger.Event{VoteBatch: &eventv1.VoteBatch{
		Format: events.Format, BatchId: newID(r.t), Epoch: epoch, Ballot: "main", AdmittedAtMs: time.Now().UnixMilli(),
		TicketVersion: "7.1.1", FirstAdmissionNumber: r.admissions - 1, Candidates: []string{"A", "B"},
		Votes: []*eventv1.VoteEvent{
			{VoteId: newID(r.t), Candidates: []uint32{0}, Deltas: []int64{1}, BodyHash: make([]byte, 16), Voter: "label", VoterId: "user:1"},
			{VoteId: newID(r.t), Candidates: []uint32{0, 1}, Deltas: []int64{2, 3}},
		},
	}}
}

// change replaces the first vote of a batch by one for B, and then takes that back too, in a batch of its own.
func (r *road) change(of pgledger.Event) (change, retraction pgledger.Event) {
	old := of.GetVotes()[0]
	next := newID(r.t)
	r.admissions++
	change = pgledger.Event{VoteBatch: &eventv1.VoteBatch{
		Format: events.Format, BatchId: newID(r.t), Epoch: of.GetEpoch(), Ballot: "main", AdmittedAtMs: time.Now().UnixMilli(),
		TicketVersion: "7.1.1", FirstAdmissionNumber: r.admissions, Candidates: []string{"A", "B"},
		Votes: []*eventv1.VoteEvent{{VoteId: next, Candidates: []uint32{0, 0, 1}, Deltas: []int64{-1, 1, 1}, VoterId: "user:1", Retracts: old.GetVoteId()}},
	}}
	r.admissions++
	retraction = pgledger.Event{VoteBatch: &eventv1.VoteBatch{
		Format: events.Format, BatchId: newID(r.t), Epoch: of.GetEpoch(), Ballot: "main", AdmittedAtMs: time.Now().UnixMilli(),
		FirstAdmissionNumber: r.admissions, Candidates: []string{"A", "B"},
		Votes: []*eventv1.VoteEvent{{VoteId: newID(r.t), Candidates: []uint32{0, 1}, Deltas: []int64{-1, -1}, VoterId: "user:1", Retracts: next}},
	}}
	return change, retraction
}

func (r *road) apply(pool *pgxpool.Pool, all ...pgledger.Event) {
	r.t.Helper()
	if _, err := pgledger.Apply(r.t.Context(), pool, pgledger.Batch{Events: all}); err != nil {
		r.t.Fatal(err)
	}
}

// log applies batches as the persisters of both sides do.
func (r *road) log(pool *pgxpool.Pool) {
	r.t.Helper()
	r.exec(pool, "UPDATE offsets SET caught_up_at = clock_timestamp()")
}

func (r *road) follow() Progress {
	r.t.Helper()
	p, err := r.Follow(r.t.Context(), time.Now().Add(-maxAge))
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

func (r *road) same() {
	r.t.Helper()
	c, err := r.Compare(r.t.Context(), time.Now().Add(time.Hour))
	if err != nil || len(c.Wrong) > 0 || c.More > 0 {
		r.t.Fatalf("%+v %v", c, err)
	}
	for _, sql := range []string{
		"SELECT coalesce(sum(hashtext(concat_ws('/', ballot, username, votes, version))), 0) FROM user_votes",
		"SELECT coalesce(sum(hashtext(concat_ws('/', ballot, version, used))), 0) FROM tickets",
		"SELECT coalesce(sum(hashtext(concat_ws('/', ballot, voter, vote_id, retracted, candidate))), 0) FROM voter_votes",
		"SELECT coalesce(sum(hashtext(concat_ws('/', ballot, key, body_hash, batch_id))), 0) FROM vote_keys",
	} {
		if a, b := r.count(r.source, sql), r.count(r.target, sql); a != b {
			r.t.Errorf("%s: %d, %d", sql, a, b)
		}
	}
}

// S72: full copy, catch-up, compare, switch: nothing is lost, whichever way a batch came.
func TestS72TheLedgerMoves(t *testing.T) {
	r := newRoad(t)
	first := r.batch(7)
	r.apply(r.source, first)
	r.exec(r.source, "INSERT INTO tickets (ballot, version, value, cap, created_at, expires_at) VALUES ('main', '7.2.1', 'v', 5, now(), now())")
	if err := r.Start(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	r.same()
	if r.writable(r.toURL) {
		t.Error("a service may write to a copy")
	}
	// Two more: one comes over the log, one the source alone was given. And a change and its retraction.
	logged, direct := r.batch(7), r.batch(7)
	change, retraction := r.change(first)
	r.apply(r.source, logged, direct, change, retraction)
	r.apply(r.target, logged)
	if p := r.follow(); p.Behind != -1 || p.Carried != 0 || p.Left != 3 {
		t.Fatalf("%+v: nothing is carried as long as the log may bring it", p)
	}
	// The epoch changes: whatever belongs to the old one must be there first, or it would have no effect.
	r.exec(r.source, "UPDATE ledger_epoch SET epoch = 8, ns = 'n8'")
	r.exec(r.source, "INSERT INTO epoch_base VALUES (8, 'main', 'A', 6)")
	if p := r.follow(); p.Carried != 3 || p.Left != 0 || p.Epoch != 8 {
		t.Fatalf("%+v", p)
	}
	r.same()
	here, err := r.isCopy(t.Context())
	if err != nil || here.Epoch != 8 || r.count(r.target, "SELECT count(*) FROM epoch_base WHERE epoch = 8") != 1 {
		t.Fatalf("%+v %v", here, err)
	}
	// A batch of the old epoch that now comes over the log is a duplicate, and one of the new epoch that only the target
	// has read so far counts there alone.
	r.apply(r.target, direct)
	ahead := r.batch(8)
	r.apply(r.target, ahead)
	r.log(r.target)
	late := r.batch(8)
	r.apply(r.source, late)
	r.exec(r.source, "INSERT INTO participants (id, service, epoch, stopped, lease_until) VALUES ('p', 'vote-service', 8, false, now() + interval '1 minute')")
	r.exec(r.source, "INSERT INTO tickets (ballot, version, value, cap, created_at, expires_at) VALUES ('main', '8.1.1', 'w', 5, now(), now())")
	c, err := r.Switch(t.Context(), time.Now().Add(-maxAge))
	if err != nil {
		t.Fatal(err)
	}
	if c.More != 1 || len(c.Wrong) != 0 {
		t.Errorf("%+v", c)
	}
	if r.writable(r.fromURL) || !r.writable(r.toURL) {
		t.Error("services still write to the source, or cannot write to the target")
	}
	if row, err := readRow(t.Context(), r.target); err != nil || row.Epoch != 8 || row.State != "open" {
		t.Errorf("%+v %v", row, err)
	}
	if n := r.count(r.target, "SELECT count(*) FROM participants WHERE id = 'p' AND lease_until BETWEEN now() + interval '30 s' AND now() + interval '1 minute'"); n != 1 {
		t.Error("the lease did not come with the ledger")
	}
	// Five batches with two uses each, and a change with one; the retraction takes none.
	if n := r.count(r.target, "SELECT used FROM tickets WHERE version = '7.1.1'"); n != 11 {
		t.Errorf("%d uses", n)
	}
	if n := r.count(r.target, "SELECT count(*) FROM tickets WHERE version = '8.1.1' AND cap = 5"); n != 1 {
		t.Error("a ticket did not come with the ledger")
	}
	const wrong = `SELECT count(*) FROM (
		SELECT FROM user_votes u LEFT JOIN vote_logs l USING (ballot, username)
		GROUP BY u.ballot, u.username, u.votes HAVING u.votes <> coalesce(sum(l.delta), 0)) w`
	if n := r.count(r.target, wrong); n != 0 {
		t.Errorf("%d tallies are not the sums of the ledger", n)
	}
}

// A switch is undone while nobody works on the target, and then is not.
func TestASwitchIsUndone(t *testing.T) {
	r := newRoad(t)
	if err := r.Start(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	r.log(r.target)
	if _, err := r.Switch(t.Context(), time.Now().Add(-maxAge)); err != nil {
		t.Fatal(err)
	}
	if err := r.Back(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !r.writable(r.fromURL) || r.writable(r.toURL) {
		t.Error("services cannot write to the source, or still write to the target")
	}
	if _, err := r.isCopy(t.Context()); err != nil {
		t.Error(err)
	}
	r.target.Reset() // its connections were ended
	r.log(r.target)
	if _, err := r.Switch(t.Context(), time.Now().Add(-maxAge)); err != nil {
		t.Fatal(err)
	}
	r.exec(r.target, "INSERT INTO participants (id, service, epoch, stopped, lease_until) VALUES ('q', 'vote-service', 7, false, now())")
	if err := r.Back(t.Context()); err == nil || !strings.Contains(err.Error(), "the other way round") {
		t.Errorf("%v", err)
	}
}

// A target that is not the same is not switched to, and the source goes on.
func TestADifferenceStopsTheSwitch(t *testing.T) {
	r := newRoad(t)
	r.apply(r.source, r.batch(7))
	if err := r.Start(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	r.exec(r.target, "UPDATE vote_logs SET delta = delta + 1 WHERE username = 'B'")
	r.log(r.target)
	c, err := r.Switch(t.Context(), time.Now().Add(-maxAge))
	if err == nil || len(c.Wrong) != 1 {
		t.Errorf("%+v %v", c, err)
	}
	if _, err := r.isCopy(t.Context()); err != nil {
		t.Error(err)
	}
	if !r.writable(r.fromURL) || r.writable(r.toURL) {
		t.Error("services cannot write to the source, or write to a copy")
	}
}

func TestWhatIsNotReadyIsRefused(t *testing.T) {
	r := newRoad(t)
	refused := func(err error, why string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, want %q", err, why)
		}
	}
	_, err := r.Follow(t.Context(), time.Now())
	refused(err, "no epoch was ever opened")
	if err := r.Start(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	refused(r.Start(t.Context(), false), "holds a ledger already")
	if err := r.Start(t.Context(), true); err != nil {
		t.Error(err)
	}
	_, err = r.Switch(t.Context(), time.Now())
	refused(err, "has not caught up")
	r.log(r.target)
	r.exec(r.source, "UPDATE ledger_epoch SET mode = 'pg'")
	_, err = r.Switch(t.Context(), time.Now())
	refused(err, "votes are decided in Redis")
	r.exec(r.source, "UPDATE ledger_epoch SET mode = 'redis', epoch = 9")
	_, err = r.Switch(t.Context(), time.Now())
	refused(err, "dbmove follow")
	r.exec(r.target, "ALTER TABLE ballots ADD COLUMN odd text")
	refused(r.Start(t.Context(), true), "the schemas differ")
	r.exec(r.target, "UPDATE ledger_epoch SET state = 'open'")
	_, err = r.Follow(t.Context(), time.Now())
	refused(err, "no copy on its way")
	if _, err := Open(t.Context(), "postgres://127.0.0.1:1/none", r.toURL, t.Logf); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
