package pgledger_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/redisledger/ledgermodel"
)

// both are the two ledgers, each with an epoch of its own, that get the same votes.
type both struct {
	*testing.T

	r     *rand.Rand
	rules pgledger.Ballot
	pool  *pgxpool.Pool
	redis *ledgermodel.Ledger
	fence redisledger.Fence
	cast  []pgledger.CastVote // what gave something, whether or not it was accepted
	next  int64               // the number of the last ticket
	ahead time.Duration       // by which the clock of Redis is ahead
}

// An epoch in Postgres decides as one in Redis does, by every combination of a contest's rules; the scripts are held against
// this model by tests of their own.
func TestCastDecidesAsRedisDoes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			s := &both{T: t, r: rand.New(rand.NewPCG(seed, 11)), pool: newPgLedger(t)}
			s.redis = ledgermodel.New(func() time.Time { return time.Now().Add(s.ahead) })
			s.fence = redisledger.Fence{Epoch: 1, NS: redisledger.NewNS()}
			s.rules = pgledger.Ballot{
				Name: "cast", State: "open", VotesPerVoter: []int{2, 1, 0}[seed%3], PerCandidate: seed%3 == 1,
				Ticketless: seed == 1 || seed == 3, MaxCandidates: 5,
			}
			if seed >= 3 {
				s.rules.VoterPeriod = 1000 * time.Hour // longer than any test
			}
			s.begin()
			for range 60 {
				if s.r.IntN(8) == 0 {
					s.mint()
				}
				s.decide(s.batch())
			}
			s.compare()
		})
	}
}

func (s *both) begin() {
	s.Helper()
	run(s, s.pool, `UPDATE ballots SET votes_per_voter = nullif($1, 0), limit_scope = $2, ticketless = $3, voter_period_ms = nullif($4::bigint, 0)
		WHERE ballot = 'cast'`, s.rules.VotesPerVoter, map[bool]string{false: "ballot", true: "candidate"}[s.rules.PerCandidate],
		s.rules.Ticketless && s.rules.VotesPerVoter > 0, s.rules.VoterPeriod.Milliseconds())
	err := s.redis.Load(s.Context(), s.fence, redisledger.Ballot{
		Name: "cast", State: "open", Rules: 1, VotesPerVoter: int64(s.rules.VotesPerVoter), PerCandidate: s.rules.PerCandidate,
		Ticketless: s.rules.Ticketless, VoterPeriod: s.rules.VoterPeriod,
	}, true)
	if err != nil {
		s.Fatal(err)
	}
}

// mint makes the next ticket in both, where the one before is over.
func (s *both) mint() {
	s.Helper()
	s.ahead += time.Minute
	run(s, s.pool, "UPDATE tickets SET created_at = created_at - interval '1 minute', expires_at = expires_at - interval '1 minute'")
	limit := 1 + s.r.Int64N(20)
	ticket := mintTicket(s, s.pool, "cast", limit)
	s.next++
	done, _, _, err := s.redis.Mint(s.Context(), s.fence, "cast", redisledger.Mint{
		Number: s.next, Version: ticket.Version, Value: ticket.Value, Cap: limit, Interval: time.Minute,
	})
	if err != nil || done != redisledger.MintDone {
		s.Fatal(done, err)
	}
}

// batch is of votes and changes or of retractions; some of them have come before.
func (s *both) batch() pgledger.CastBatch {
	b := castBatch("cast")
	if !s.rules.PerCandidate {
		b.MaxNames = s.rules.MaxCandidates
	}
	retract := len(s.cast) > 0 && s.r.IntN(3) == 0
	for range 1 + s.r.IntN(6) {
		v := by([]string{"", "u", "v", "w"}[s.r.IntN(4)], vote("abcdefg"[s.r.IntN(7):][:1]))
		if s.r.IntN(5) == 0 {
			v.Candidates, v.Counts = append(v.Candidates, "h"), append(v.Counts, 2)
		}
		if s.r.IntN(9) == 0 {
			v.Ticket = "another"
		}
		if len(s.cast) > 0 {
			switch old := s.cast[s.r.IntN(len(s.cast))]; {
			case retract && old.Voter == "", retract && s.rules.PerCandidate && len(old.Candidates) != 1:
				continue // no such retraction is ever asked for
			case retract:
				v = retraction(old)
			case s.r.IntN(4) == 0 && !old.Replaces:
				v = change(old, v)
			case s.r.IntN(6) == 0 && old.Keyed:
				v = old
				v.BodyHash[3] += byte(s.r.IntN(2))
			}
		}
		if !v.Keyed && s.r.IntN(2) == 0 {
			v = keyed(v)
		}
		if slices.ContainsFunc(b.Votes, func(other pgledger.CastVote) bool { return other.ID == v.ID }) {
			continue
		}
		b.Votes = append(b.Votes, v)
	}
	if len(b.Votes) == 0 {
		return s.batch()
	}
	for _, v := range b.Votes {
		if v.Retracts == uuid.Nil || v.Replaces {
			s.cast = append(s.cast, v)
		}
	}
	return b
}

// decide holds what the two say against each other. What Redis does not decide before the batch is settled, it decides then, as
// one commit in Postgres does.
func (s *both) decide(b pgledger.CastBatch) {
	s.Helper()
	got, want := codes(mustCast(s, s.pool, b)), s.admit(b)
	for i, code := range want {
		if redisledger.Code(code) == redisledger.Busy {
			alone := pgledger.CastBatch{ID: uuid.Must(uuid.NewV7()), MaxNames: b.MaxNames, Votes: b.Votes[i : i+1]}
			want[i] = s.admit(alone)[0]
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.Fatalf("of %+v (-Redis +Postgres):\n%s", b.Votes, diff)
	}
}

// admit decides the votes in Redis, and settles those that it accepts.
func (s *both) admit(b pgledger.CastBatch) []pgledger.CastCode {
	s.Helper()
	batch := &redisledger.Batch{ID: b.ID, Ballot: "cast", MaxNames: b.MaxNames}
	retractions := b.Votes[0].Retracts != uuid.Nil && !b.Votes[0].Replaces
	for _, v := range b.Votes {
		e := redisledger.Entry{Voter: v.Voter, VoteID: v.ID, Retracts: v.Retracts, Replaces: v.Replaces, Period: s.rules.Period(time.Now())}
		if v.Keyed {
			e.Key, e.BodyHash, e.LookedUp = v.ID[:], v.BodyHash[:], true
		}
		given := slices.Clone(v.Candidates)
		if v.Replaces {
			given = given[slices.IndexFunc(v.Counts, func(n int64) bool { return n > 0 }):]
		}
		if given = slices.Compact(given); len(given) == 1 {
			e.Candidate = given[0]
		}
		if b.MaxNames > 0 && !retractions {
			e.NewNames = given
		}
		if !retractions && !s.rules.Ticketless {
			if e.Ticket = slices.Index(batch.Tickets, v.Ticket); e.Ticket < 0 {
				e.Ticket = len(batch.Tickets)
				batch.Tickets = append(batch.Tickets, v.Ticket)
			}
		}
		batch.Entries = append(batch.Entries, e)
	}
	admitted, _ := s.redis.Admit(s.Context(), s.fence, batch, 10, nil)
	if admitted.Err != nil {
		s.Fatal(admitted.Err)
	}
	settle := &redisledger.Settlement{Fence: s.fence, ID: b.ID, Ballot: "cast", AdmittedAt: admitted.Verdict.At}
	said := make([]pgledger.CastCode, len(b.Votes))
	for i, v := range admitted.Verdict.Entries {
		said[i] = pgledger.CastCode(v.Code)
		if v.Code == redisledger.OK {
			settle.Names, settle.Counts = append(settle.Names, b.Votes[i].Candidates...), append(settle.Counts, b.Votes[i].Counts...)
		}
	}
	if len(settle.Names) > 0 {
		if reply := s.redis.Settle(s.Context(), settle); reply.How != redisledger.Settled {
			s.Fatalf("%+v", reply)
		}
	}
	return said
}

// compare holds the counts against each other.
func (s *both) compare() {
	s.Helper()
	counts, _, err := s.redis.Tally(s.Context(), s.fence, "cast", nil)
	if err != nil {
		s.Fatal(err)
	}
	want := map[string]int64{}
	for _, c := range counts {
		want[c.Name] = c.Votes
	}
	if diff := cmp.Diff(want, votesOf(s, s.pool, "cast")); diff != "" {
		s.Errorf("counts (-Redis +Postgres):\n%s", diff)
	}
	if len(want) == 0 {
		s.Error("nothing was ever accepted")
	}
	expectRecount(s, s.pool)
}
