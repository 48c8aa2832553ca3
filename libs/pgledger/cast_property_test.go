package pgledger_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/pgledger"
)

// oracle is what a ballot's decisions must be, in memory and vote by vote.
type oracle struct {
	limit        int // votes a voter
	perCandidate bool
	ticketless   bool
	maxNames     int64 // of the open list
	left         int64 // uses of the newest ticket
	ticket       string
	admission    int64
	tally        map[string]int64
	keys         map[uuid.UUID]pgledger.CastVerdict // of keyed votes that count
	hashes       map[uuid.UUID][16]byte
	voters       map[string]map[uuid.UUID]bool // by voter, and by candidate where the limit is so
}

// key is where the votes of a vote's voter stand; ok is false where the vote is not for one candidate and must be.
func (o *oracle) key(v pgledger.CastVote) (key string, ok bool) {
	given := v.Candidates
	if v.Replaces {
		given = nil
		for i, n := range v.Counts {
			if n > 0 {
				given = append(given, v.Candidates[i])
			}
		}
	}
	if !o.perCandidate {
		return v.Voter, true
	}
	return v.Voter + "/" + given[0], len(slices.Compact(slices.Clone(given))) == 1
}

func (o *oracle) cast(b pgledger.CastBatch) []pgledger.CastVerdict {
	out := make([]pgledger.CastVerdict, len(b.Votes))
	for i, v := range b.Votes {
		out[i] = o.decide(b.ID, v)
	}
	return out
}

func (o *oracle) decide(batch uuid.UUID, v pgledger.CastVote) pgledger.CastVerdict {
	if before, known := o.keys[v.ID]; v.Keyed && known {
		if o.hashes[v.ID] != v.BodyHash {
			return pgledger.CastVerdict{Code: pgledger.CastReused}
		}
		return before
	}
	fresh := map[string]bool{}
	for _, name := range v.Candidates {
		if _, known := o.tally[name]; !known {
			fresh[name] = true
		}
	}
	key, one := o.key(v)
	switch {
	case v.Retracts != uuid.Nil && !v.Replaces:
		if !o.voters[key][v.Retracts] {
			return pgledger.CastVerdict{Code: pgledger.CastNoVote}
		}
		return o.accept(batch, v, key)
	case o.ticketless:
	case o.ticket == "":
		return pgledger.CastVerdict{Code: pgledger.CastExpired}
	case v.Ticket != "" && v.Ticket != o.ticket:
		return pgledger.CastVerdict{Code: pgledger.CastSuperseded}
	case o.left == 0:
		return pgledger.CastVerdict{Code: pgledger.CastExhausted}
	}
	switch {
	case !one:
		return pgledger.CastVerdict{Code: pgledger.CastNotOne}
	case v.Replaces && !o.voters[key][v.Retracts]:
		return pgledger.CastVerdict{Code: pgledger.CastNoVote}
	case !v.Replaces && len(o.voters[key]) >= o.limit:
		return pgledger.CastVerdict{Code: pgledger.CastLimit}
	case int64(len(o.tally)+len(fresh)) > o.maxNames:
		return pgledger.CastVerdict{Code: pgledger.CastNames}
	}
	return o.accept(batch, v, key)
}

func (o *oracle) accept(batch uuid.UUID, v pgledger.CastVote, key string) pgledger.CastVerdict {
	if o.voters[key] == nil {
		o.voters[key] = map[uuid.UUID]bool{}
	}
	delete(o.voters[key], v.Retracts)
	if v.Retracts == uuid.Nil || v.Replaces {
		o.left--
		o.voters[key][v.ID] = true
	}
	o.admission++
	verdict := pgledger.CastVerdict{Code: pgledger.CastOK, Admission: o.admission}
	for i, name := range v.Candidates {
		o.tally[name] += v.Counts[i]
		verdict.Totals = append(verdict.Totals, o.tally[name])
	}
	if v.Keyed {
		o.keys[v.ID] = pgledger.CastVerdict{Code: pgledger.CastSame, Batch: batch}
		o.hashes[v.ID] = v.BodyHash
	}
	return verdict
}

// Any sequence of batches and tickets is decided as vote by vote, whatever stands together in a batch.
func TestCastAsVoteByVote(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 7))
			pool := newPgLedger(t)
			o := &oracle{
				limit: []int{3, 1}[seed%2], perCandidate: seed%2 == 1, ticketless: seed == 3, maxNames: 6, tally: map[string]int64{}, keys: map[uuid.UUID]pgledger.CastVerdict{},
				hashes: map[uuid.UUID][16]byte{}, voters: map[string]map[uuid.UUID]bool{},
			}
			run(t, pool, "UPDATE ballots SET votes_per_voter = $1, limit_scope = $2, ticketless = $3 WHERE ballot = 'cast'",
				o.limit, map[bool]string{false: "ballot", true: "candidate"}[o.perCandidate], o.ticketless)
			var cast []pgledger.CastVote
			for round := range 40 {
				if round == 3 || r.IntN(6) == 0 {
					run(t, pool, "UPDATE tickets SET created_at = created_at - interval '1 hour', expires_at = expires_at - interval '1 hour'")
					o.left = 1 + r.Int64N(25)
					o.ticket = mintTicket(t, pool, "cast", o.left).Value
				}
				b := randomCast(r, cast)
				b.MaxNames = o.maxNames
				cast = append(cast, slices.DeleteFunc(slices.Clone(b.Votes), func(v pgledger.CastVote) bool {
					return v.Retracts != uuid.Nil && !v.Replaces
				})...)
				if diff := cmp.Diff(o.cast(b), mustCast(t, pool, b).Verdicts); diff != "" {
					t.Fatalf("verdicts (-want +got):\n%s", diff)
				}
			}
			if diff := cmp.Diff(o.tally, votesOf(t, pool, "cast")); diff != "" {
				t.Errorf("votes (-want +got):\n%s", diff)
			}
			expectRecount(t, pool)
		})
	}
}

// randomCast is a batch of votes and changes or of retractions; some of its keys and votes have come before.
func randomCast(r *rand.Rand, before []pgledger.CastVote) pgledger.CastBatch {
	b := castBatch("cast")
	keys := map[uuid.UUID]bool{}
	retract := len(before) > 0 && r.IntN(3) == 0
	for range 1 + r.IntN(10) {
		v := vote("abcdefgh"[r.IntN(8):][:1])
		if r.IntN(2) == 0 {
			other := "abcdefgh"[r.IntN(8):][:1]
			v.Candidates, v.Counts = append(v.Candidates, other), append(v.Counts, 1+r.Int64N(5))
		}
		v.Voter = fmt.Sprint("voter ", r.IntN(12))
		if r.IntN(8) == 0 {
			v.Ticket = "another"
		}
		if retract {
			v = retraction(before[r.IntN(len(before))])
		}
		if !retract && len(before) > 0 && r.IntN(4) == 0 {
			v = change(before[r.IntN(len(before))], v)
		}
		if r.IntN(2) == 0 {
			v = keyed(v)
		}
		if again := keyedOf(before); !retract && len(again) > 0 && r.IntN(3) == 0 {
			v = again[r.IntN(len(again))] // a retry, with or without the same body
			v.BodyHash[15] += byte(r.IntN(2))
			if keys[v.ID] {
				continue
			}
		}
		keys[v.ID] = true
		b.Votes = append(b.Votes, v)
	}
	return b
}

func keyedOf(votes []pgledger.CastVote) []pgledger.CastVote {
	var out []pgledger.CastVote
	for _, v := range votes {
		if v.Keyed {
			out = append(out, v)
		}
	}
	return out
}
