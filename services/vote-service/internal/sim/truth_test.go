package sim

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/testenv"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// truth does the same to pgledger and to the tables that stand for it here.
type truth struct {
	*testing.T

	r      *rand.Rand
	pool   *pgxpool.Pool
	tables *tables
	topic  uuid.UUID

	batches []*eventv1.VoteBatch
	cast    []pgledger.CastBatch
	votes   []pgledger.CastVote
	first   int64
}

// The tables are what pgledger makes of Postgres: the same verdicts, errors and counts, on any sequence of calls.
func TestTablesAreLikePostgres(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			newTruth(t, seed).play(120)
		})
	}
}

func newTruth(t *testing.T, seed uint64) *truth {
	t.Helper()
	cfg := config.DefaultPostgres()
	cfg.URL = testenv.Postgres(t)
	if err := pgledger.Migrate(t.Context(), cfg.URL, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	pool, err := pgledger.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s := &truth{T: t, r: rand.New(rand.NewPCG(seed, 3)), pool: pool, topic: uuid.UUID{9}, first: 1}
	s.exec("UPDATE ballots SET votes_per_voter = 2, limit_scope = $1, ticketless = $2 WHERE ballot = 'cast'",
		[]string{"ballot", "candidate"}[seed%2], seed == 1)
	s.exec(`INSERT INTO ledger_epoch (epoch, mode, state, ns, replicated, reason) VALUES (1, 'redis', 'open', 'ns', false, 'test')`)
	ballots, err := pgledger.Ballots(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	s.tables = newTables(ballots...)
	s.tables.begun, s.tables.epoch = true, pgledger.Epoch{Number: 1, Mode: "redis", State: "open"}
	if _, err := pgledger.Offsets(t.Context(), pool, s.topic, partitions); err != nil {
		t.Fatal(err)
	}
	for p := range int32(partitions) {
		s.tables.offsets[p] = &offset{}
	}
	return s
}

func (s *truth) exec(statement string, args ...any) {
	s.Helper()
	if _, err := s.pool.Exec(s.Context(), statement, args...); err != nil {
		s.Fatal(err)
	}
}

func (s *truth) play(calls int) {
	for n := range calls {
		switch at := s.r.IntN(24); {
		case at == 0 || n == 10:
			s.nextEpoch()
		case at < 4:
			s.mint()
		case at < 5:
			s.expire()
		case at < 16:
			s.vote()
		default:
			s.apply()
		}
		if s.Failed() {
			s.Fatalf("after call %d", n)
		}
		s.compare()
	}
}

func (s *truth) nextEpoch() {
	e := &s.tables.epoch
	e.Number++
	e.Mode = []string{"redis", "pg", "pg", "pg"}[s.r.IntN(4)]
	e.State = []string{"open", "open", "open", "ending"}[s.r.IntN(4)]
	err := pgx.BeginFunc(s.Context(), s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(s.Context(), "UPDATE ledger_epoch SET epoch = $1, mode = $2, state = $3", e.Number, e.Mode, e.State); err != nil {
			return err
		}
		if e.Mode == "pg" {
			return pgledger.OpenPg(s.Context(), tx, e.Number)
		}
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
	if e.Mode == "pg" {
		for ballot := range s.tables.ballots {
			s.tables.pgBallot(ballot)
		}
	}
}

func (s *truth) ballot() string { return []string{"main", "cast", "cast"}[s.r.IntN(3)] }

func (s *truth) mint() {
	ballot, number := s.ballot(), s.tables.epoch.Number
	m := pgledger.Mint{Number: 1 + s.r.Int64N(3), Cap: []int64{pgledger.NoCap, 2, 6}[s.r.IntN(3)], Interval: time.Hour, Fence: s.r.Int64N(4)}
	if b := s.tables.pgBallots[epochBallot{number, ballot}]; b != nil && s.r.IntN(4) != 0 {
		m.Number = b.last + 1
	}
	m.Version = fmt.Sprintf("%d.%d.%d", number, m.Number, m.Fence)
	m.Value = m.Version
	got, _, _, err := pgledger.MintTicket(s.Context(), s.pool, number, ballot, m)
	want, wantErr := s.tables.mint(number, ballot, m, time.Now())
	if got != want || !sameError(err, wantErr) {
		s.Errorf("mint %+v: %s %v, the model says %s %v", m, got, err, want, wantErr)
	}
}

// expire lets all tickets be older.
func (s *truth) expire() {
	s.exec("UPDATE tickets SET created_at = created_at - interval '1 hour', expires_at = expires_at - interval '1 hour'")
	for _, t := range s.tables.tickets {
		t.created, t.expires = t.created.Add(-time.Hour), t.expires.Add(-time.Hour)
	}
}

func (s *truth) vote() {
	b := pgledger.CastBatch{Epoch: s.tables.epoch.Number, ID: uuid.Must(uuid.NewV7()), Ballot: s.ballot()}
	if b.Ballot == "cast" {
		b.MaxNames = 5
	}
	retract, keys := len(s.votes) > 0 && s.r.IntN(3) == 0, map[uuid.UUID]bool{}
	for range 1 + s.r.IntN(5) {
		v := pgledger.CastVote{ID: uuid.New(), Voter: fmt.Sprint("voter ", s.r.IntN(5)), Candidates: []string{"ABCDEFG"[s.r.IntN(7):][:1]}, Counts: []int64{1 + s.r.Int64N(3)}}
		switch {
		case retract:
			old := s.votes[s.r.IntN(len(s.votes))]
			v.Voter, v.Retracts, v.Candidates, v.Counts = old.Voter, old.ID, old.Candidates, []int64{-old.Counts[0]}
		case len(s.votes) > 0 && s.r.IntN(4) == 0:
			v = s.votes[s.r.IntN(len(s.votes))]
			v.BodyHash[0] += byte(s.r.IntN(2))
		case s.r.IntN(8) == 0:
			v.Ticket = "another"
		case len(s.votes) > 0 && s.r.IntN(4) == 0:
			old := s.votes[s.r.IntN(len(s.votes))]
			v.Voter, v.Retracts, v.Replaces = old.Voter, old.ID, true
			v.Candidates, v.Counts = append(v.Candidates, old.Candidates...), append(v.Counts, -old.Counts[0])
			slices.Reverse(v.Candidates)
			slices.Reverse(v.Counts)
		}
		if v.Retracts == uuid.Nil && !v.Keyed {
			v.Keyed = true
			s.votes = append(s.votes, v)
		}
		if !keys[v.ID] {
			keys[v.ID] = true
			b.Votes = append(b.Votes, v)
		}
	}
	switch {
	case len(s.cast) > 0 && s.r.IntN(6) == 0:
		b = s.cast[s.r.IntN(len(s.cast))]
	case s.r.IntN(12) == 0:
		b.Epoch--
	}
	s.cast = append(s.cast, b)
	got, err := pgledger.Cast(s.Context(), s.pool, b)
	want, wantErr := s.tables.cast(b, time.Now())
	if !sameError(err, wantErr) {
		s.Errorf("cast: %v, the model says %v", err, wantErr)
	}
	ignored := cmpopts.IgnoreFields(pgledger.CastResult{}, "At")
	if diff := cmp.Diff(want, got, ignored, cmpopts.IgnoreFields(pgledger.CastVerdict{}, "Totals")); err == nil && diff != "" {
		s.Errorf("cast (-model +pgledger):\n%s", diff)
	}
}

func (s *truth) apply() {
	var b pgledger.Batch
	for range 1 + s.r.IntN(4) {
		e := s.batch()
		if len(s.batches) > 0 && s.r.IntN(4) == 0 {
			e = s.batches[s.r.IntN(len(s.batches))]
		}
		s.batches = append(s.batches, e)
		b.Events = append(b.Events, pgledger.Event{VoteBatch: e, Record: []byte("record")})
	}
	if s.r.IntN(2) == 0 {
		p := s.r.Int32N(partitions)
		from := s.tables.offsets[p].next
		if s.r.IntN(6) == 0 {
			from++
		}
		b.Offsets = []pgledger.OffsetMove{{TopicID: s.topic, Partition: p, From: from, To: from + 3}}
	}
	got, err := pgledger.Apply(s.Context(), s.pool, b)
	want, wantErr := s.tables.apply(b)
	if !sameError(err, wantErr) {
		s.Errorf("apply: %v, the model says %v", err, wantErr)
	}
	if diff := cmp.Diff(want.Verdicts, got.Verdicts); err == nil && (diff != "" || want.Rows != got.Rows) {
		s.Errorf("apply: %d rows, the model says %d; verdicts (-model +pgledger):\n%s", got.Rows, want.Rows, diff)
	}
}

// batch is a record; few are of another epoch, or have a key that was used before.
func (s *truth) batch() *eventv1.VoteBatch {
	id := uuid.Must(uuid.NewV7())
	b := &eventv1.VoteBatch{
		Format: 2, BatchId: id[:], Epoch: s.tables.epoch.Number, Ballot: s.ballot(), AdmittedAtMs: time.Now().UnixMilli(),
		TicketVersion: "1.1.0", FirstAdmissionNumber: s.first, Candidates: []string{"A", "B", "C"},
	}
	switch s.r.IntN(30) {
	case 0:
		b.Epoch++
	case 1, 2, 3:
		b.Epoch = max(1, b.Epoch-1)
	case 4:
		b.Ballot = "nobodys"
	}
	for range 1 + s.r.IntN(4) {
		vote := uuid.New()
		v := &eventv1.VoteEvent{VoteId: vote[:], VoterId: fmt.Sprint("voter ", s.r.IntN(5))}
		for range 1 + s.r.IntN(3) {
			v.Candidates = append(v.Candidates, s.r.Uint32N(3))
			v.Deltas = append(v.Deltas, 1+s.r.Int64N(3))
		}
		if s.r.IntN(2) == 0 {
			v.BodyHash = make([]byte, 16)
			if len(s.votes) > 0 && s.r.IntN(15) == 0 {
				old := s.votes[s.r.IntN(len(s.votes))].ID
				v.VoteId = old[:]
			}
		}
		b.Votes = append(b.Votes, v)
		s.first++
	}
	return b
}

// sameError says that the two errors are of the same kind.
func sameError(a, b error) bool {
	for _, kind := range []error{
		pgledger.ErrNoEpoch, pgledger.ErrNotOpen, pgledger.ErrZombie, pgledger.ErrFutureEpoch, pgledger.ErrUnknownBallot, pgledger.ErrKeyConflict,
	} {
		if errors.Is(a, kind) != errors.Is(b, kind) {
			return false
		}
	}
	return (a == nil) == (b == nil)
}

// compare holds what the two have in the end against each other.
func (s *truth) compare() {
	for _, ballot := range []string{"main", "cast"} {
		got, err := pgledger.Tallies(s.Context(), s.pool, ballot, nil)
		if err != nil {
			s.Fatal(err)
		}
		p := &postgres{tables: s.tables}
		if diff := cmp.Diff(p.counts(ballot, nil), got, cmpopts.IgnoreFields(pgledger.Tally{}, "UpdatedAt"), cmpopts.EquateEmpty()); diff != "" {
			s.Errorf("counts of %s (-model +pgledger):\n%s", ballot, diff)
		}
		for n := range 5 {
			voter := fmt.Sprint("voter ", n)
			b, key := s.tables.ballots[ballot], pgledger.VoterKey{Voter: voter, Candidate: "A"}
			votes, err := pgledger.VotersOf(s.Context(), s.pool, &b, []pgledger.VoterKey{key})
			if err != nil {
				s.Fatal(err)
			}
			if diff := cmp.Diff(s.tables.votesOf(ballot, key), votes[key], cmpopts.EquateEmpty()); diff != "" {
				s.Errorf("votes of %s (-model +pgledger):\n%s", voter, diff)
			}
		}
	}
	next, err := pgledger.Offsets(s.Context(), s.pool, s.topic, partitions)
	if err != nil {
		s.Fatal(err)
	}
	for p, o := range s.tables.offsets {
		if next[p] != o.next {
			s.Errorf("partition %d goes on at %d, in the model at %d", p, next[p], o.next)
		}
	}
}
