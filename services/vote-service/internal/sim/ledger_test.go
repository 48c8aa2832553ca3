package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
)

// What the engine and the persister need of Postgres. The epoch's store has a Ballots of its own.

type ledger struct{ *db }

func (l ledger) Ballots(ctx context.Context) ([]pgledger.Ballot, error) {
	return read(ctx, l.db, "ballots", func(p *postgres) ([]pgledger.Ballot, error) {
		return slices.SortedFunc(maps.Values(p.ballots), func(a, b pgledger.Ballot) int { return strings.Compare(a.Name, b.Name) }), nil
	})
}

func (l ledger) Apply(ctx context.Context, b pgledger.Batch) (pgledger.Result, error) {
	name := "apply"
	for _, e := range b.Events {
		name += " " + nameOfVotes(e.VoteBatch)
	}
	return transact(ctx, l.db, name, func(t *tables) (pgledger.Result, error) { return t.apply(b) })
}

func (l ledger) Cast(ctx context.Context, b pgledger.CastBatch) (pgledger.CastResult, error) {
	name := "cast"
	for _, v := range b.Votes {
		name += " " + v.ID.String()[28:]
	}
	return locked(ctx, l.db, name, true, func(t *tables) (pgledger.CastResult, error) { return t.cast(b, time.Now()) })
}

func (l ledger) BatchApplied(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]bool, pgledger.Epoch, error) {
	var now pgledger.Epoch
	found, err := read(ctx, l.db, "batch applied "+l.nameOf(ids[0]), func(p *postgres) (map[uuid.UUID]bool, error) {
		found := map[uuid.UUID]bool{}
		for _, id := range ids {
			if _, ok := p.applied[id]; ok {
				found[id] = true
			}
		}
		var err error
		now, err = p.current()
		return found, err
	})
	return found, now, err
}

func (l ledger) Lookup(ctx context.Context, ballot string, keys []uuid.UUID) (pgledger.Keys, error) {
	name1 := "look up"
	for _, k := range keys {
		name1 += " " + k.String()[28:]
	}
	return read(ctx, l.db, name1, func(p *postgres) (pgledger.Keys, error) {
		found := pgledger.Keys{Found: map[uuid.UUID]pgledger.Key{}}
		for _, o := range p.offsets {
			found.Lag = max(found.Lag, time.Since(o.caughtUp))
		}
		for _, k := range keys {
			if key, ok := p.keys[name{ballot, string(k[:])}]; ok {
				found.Found[k] = key
			}
		}
		return found, nil
	})
}

func (l ledger) BallotsNamed(ctx context.Context, names []string) ([]pgledger.Ballot, error) {
	names = slices.Sorted(slices.Values(names))
	return read(ctx, l.db, fmt.Sprint("ballots ", names), func(p *postgres) ([]pgledger.Ballot, error) {
		var found []pgledger.Ballot
		for _, name := range slices.Compact(names) {
			if b, known := p.ballots[name]; known {
				found = append(found, b)
			}
		}
		return found, nil
	})
}

func (l ledger) VotersOf(
	ctx context.Context, b *pgledger.Ballot, keys []pgledger.VoterKey,
) (map[pgledger.VoterKey][]uuid.UUID, error) {
	name := "voters"
	for _, k := range keys {
		name += fmt.Sprintf(" %s/%s/%d", k.Voter, k.Candidate, k.Period)
	}
	return read(ctx, l.db, name, func(p *postgres) (map[pgledger.VoterKey][]uuid.UUID, error) {
		found := map[pgledger.VoterKey][]uuid.UUID{}
		for _, k := range keys {
			if votes := p.votesOf(b.Name, k); len(votes) > 0 {
				found[k] = votes
			}
		}
		return found, nil
	})
}

func (l ledger) LastVote(ctx context.Context, ballot, voter, candidate string) (*pgledger.VoterVote, error) {
	return read(ctx, l.db, "last vote of "+voter+" for "+candidate, func(p *postgres) (*pgledger.VoterVote, error) {
		var last *pgledger.VoterVote
		for at, row := range p.voters {
			v := pgledger.VoterVote{ID: at.vote, Voter: voter, Candidate: candidate, VotedAt: row.at}
			if at.ballot == ballot && at.voter == voter && row.candidate == candidate && !row.retracted &&
				(last == nil || byAge(*last, v) < 0) {
				last = &v
			}
		}
		return last, nil
	})
}

func (l ledger) VoteOf(ctx context.Context, ballot string, id uuid.UUID) (*pgledger.Vote, error) {
	return read(ctx, l.db, "vote "+id.String()[28:], func(p *postgres) (*pgledger.Vote, error) {
		var found *pgledger.Vote
		var given, taken []pgledger.Choice
		for _, row := range p.logs {
			if row.ballot != ballot || row.vote != id {
				continue
			}
			if found == nil {
				found = &pgledger.Vote{
					ID: id, Batch: row.batch, Epoch: row.epoch, Admission: row.admission, Voter: row.voter,
					Retracted: p.voters[voterVote{ballot, row.voter, id}].retracted, At: p.voters[voterVote{ballot, row.voter, id}].at,
				}
			}
			choice := pgledger.Choice{Candidate: row.candidate, Count: row.delta}
			if row.retracts == uuid.Nil {
				given = append(given, choice)
			} else {
				found.Retracts, taken = row.retracts, append(taken, choice)
			}
		}
		if found == nil {
			return nil, nil //nolint:nilnil // not found is an answer
		}
		found.Choices, found.Change = given, len(given) > 0 && found.Retracts != uuid.Nil
		if len(given) == 0 {
			found.Choices = taken
		}
		slices.SortFunc(found.Choices, func(a, b pgledger.Choice) int { return strings.Compare(a.Candidate, b.Candidate) })
		return found, nil
	})
}

func (l ledger) Dropped(context.Context, string, uuid.UUID) (bool, error) { return false, nil }

func (l ledger) Tallies(ctx context.Context, ballot string, names []string) ([]pgledger.Tally, error) {
	return read(ctx, l.db, "tallies", func(p *postgres) ([]pgledger.Tally, error) { return p.counts(ballot, names), nil })
}

func (p *postgres) counts(ballot string, names []string) (list []pgledger.Tally) {
	for n, row := range p.tallies {
		if n.ballot == ballot && (names == nil || slices.Contains(names, n.name)) {
			list = append(list, *row)
		}
	}
	slices.SortFunc(list, func(a, b pgledger.Tally) int { return strings.Compare(a.Username, b.Username) })
	return list
}

func (l ledger) ReadsFormat(context.Context) (int32, error) { return events.Format, nil }

func (l ledger) NameBallots(ctx context.Context, number int64, ballots []string) ([]string, error) {
	return transact(ctx, l.db, "name ballots", func(t *tables) (made []string, err error) {
		if !t.begun || t.epoch.Number != number || t.epoch.Mode != string(epoch.Redis) || t.epoch.State != "open" {
			return nil, nil
		}
		for _, b := range ballots {
			if at := (epochBallot{number, b}); !t.named[at] {
				t.named[at] = true
				made = append(made, b)
			}
		}
		return made, nil
	})
}

func (l ledger) StillOpen(ctx context.Context, number int64) error {
	row, err := l.Current(ctx)
	if err == nil && (row.Number != number || row.Mode != string(epoch.Redis) || row.State != "open") {
		return pgledger.ErrNotOpen
	}
	return err
}
