package redisledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Voted is what Redis knows of a voter's votes.
type Voted struct {
	Known   bool // false: Postgres must be asked
	Voted   bool // at least one counts
	Pending bool // the last batch that changed them is not yet settled: it may still be given back
}

// Voted says for each of the candidates, in their order, whether the voter has a vote for it; without candidates there is
// one answer, whether the voter has a vote in the ballot at all. Known is false where the ballot's rules make Redis forget,
// or never learn, what was asked. It changes nothing.
func (l *Ledger) Voted(ctx context.Context, f Fence, ballot, voter string, candidates []string) ([]Voted, error) {
	asked := candidates
	if len(asked) == 0 {
		asked = []string{""}
	}
	r := l.one(ctx, voterCall(f, ballot, voter, asked))
	if r.err != nil {
		return nil, r.err
	}
	s, err := voterReply(r, len(asked))
	if err != nil {
		return nil, err
	}
	list := make([]Voted, len(asked))
	for i, state := range s.states {
		v := Voted{Known: state.Known, Voted: len(state.Votes) > 0, Pending: state.Pending}
		switch {
		case s.perCandidate && asked[i] == "":
			v = Voted{} // no field is for all candidates
		case s.period >= 0 && !v.Voted:
			v.Known = false // this period is not all
		case !s.perCandidate && asked[i] != "" && v.Voted:
			v = Voted{} // which candidates the votes are for stands in the ledger alone
		}
		list[i] = v
	}
	return list, nil
}

// VoterState are the votes of a voter that count against the limit now.
type VoterState struct {
	Known   bool // false: Postgres must be asked, for the votes of Period
	Votes   []uuid.UUID
	Pending bool  // the last batch that changed them is not yet settled
	Period  int64 // of now; 0 where the ballot has no periods
}

// VoterState reads what Redis knows of a voter: for the candidate, where the limit is per candidate, else in the ballot.
func (l *Ledger) VoterState(ctx context.Context, f Fence, ballot, voter, candidate string) (VoterState, error) {
	r := l.one(ctx, voterCall(f, ballot, voter, []string{candidate}))
	if r.err != nil {
		return VoterState{}, r.err
	}
	s, err := voterReply(r, 1)
	if err != nil {
		return VoterState{}, err
	}
	state := s.states[0]
	state.Period = max(0, s.period)
	return state, nil
}

func voterCall(f Fence, ballot, voter string, candidates []string) call {
	k := f.Keys(ballot)
	args := make([]any, 0, 2+len(candidates))
	args = append(args, f.Epoch, voter)
	for _, c := range candidates {
		args = append(args, c)
	}
	return call{voterScript, []string{k.marker(), k.voters(), k.outbox()}, args}
}

type voterStates struct {
	perCandidate bool
	period       int64 // negative: none
	states       []VoterState
}

// voterReply reads per candidate or not, the period, and for each candidate what is known (nil: nothing) and whether it is
// pending.
func voterReply(r reply, n int) (voterStates, error) {
	if len(r.rest) != 2+2*n {
		return voterStates{}, fmt.Errorf("redisledger: %d values for %d candidates", len(r.rest), n)
	}
	period, err := parseInt(r.rest[1])
	if err != nil {
		return voterStates{}, err
	}
	s := voterStates{perCandidate: r.rest[0] == "1", period: period, states: make([]VoterState, n)}
	for i := range s.states {
		ids, known := r.rest[2+2*i].(string)
		if !known {
			continue
		}
		votes, err := parseIDs(ids)
		if err != nil {
			return voterStates{}, err
		}
		s.states[i] = VoterState{Known: true, Votes: votes, Pending: r.rest[3+2*i] == int64(1)}
	}
	return s, nil
}

// parseIDs reads ids of 16 bytes each.
func parseIDs(text string) ([]uuid.UUID, error) {
	ids := make([]uuid.UUID, 0, len(text)/16)
	for len(text) > 0 {
		id, err := uuid.FromBytes([]byte(text[:min(16, len(text))]))
		if err != nil {
			return nil, fmt.Errorf("redisledger: ids: %w", err)
		}
		ids = append(ids, id)
		text = text[16:]
	}
	return ids, nil
}

// ColdVoter is a voter's state that Redis need not keep.
type ColdVoter struct {
	Field string    // names it
	Batch uuid.UUID // the last one that changed it; Nil: none has since it was loaded, so Postgres has it
}

// evictAfter is how old a batch's id must be before the state that it changed may go: longer than a look-up holds, and than
// an id may tell another time than Redis does.
const evictAfter = ClockBound + 5*LookUpHolds

// ColdVoters lists states that any look-up would give as well, once their batches are applied: of candidates that are no
// longer hot, and of periods that are over. It reads about limit states from cursor on, 0 at first; at the end next is 0.
// While states come and go, some may be missing and some come twice.
func (l *Ledger) ColdVoters(ctx context.Context, f Fence, ballot string, cursor uint64, limit int) (cold []ColdVoter, next uint64, err error) {
	k := f.Keys(ballot)
	r := l.one(ctx, call{
		coldScript,
		[]string{k.marker(), k.voters(), k.outbox()},
		[]any{f.Epoch, evictAfter.Milliseconds(), strconv.FormatUint(cursor, 10), limit},
	})
	if r.err != nil {
		return nil, 0, r.err
	}
	next, err = strconv.ParseUint(r.rest[0].(string), 10, 64)
	if err != nil {
		return nil, 0, fmt.Errorf("redisledger: cursor: %w", err)
	}
	for i := 1; i+1 < len(r.rest); i += 2 {
		batch, err := uuid.FromBytes([]byte(r.rest[i+1].(string)))
		if err != nil {
			return nil, 0, fmt.Errorf("redisledger: batch id of a voter: %w", err)
		}
		cold = append(cold, ColdVoter{Field: r.rest[i].(string), Batch: batch})
	}
	return cold, next, nil
}

// EvictVoters drops states that are cold still, and that no batch has changed since ColdVoters saw them. Call it only for
// those whose Batch is Nil, or applied in Postgres. It returns how many are gone; from then on their voters are looked up.
func (l *Ledger) EvictVoters(ctx context.Context, f Fence, ballot string, cold []ColdVoter) (int64, error) {
	if len(cold) == 0 {
		return 0, nil
	}
	k := f.Keys(ballot)
	args := make([]any, 0, 2+2*len(cold))
	args = append(args, f.Epoch, evictAfter.Milliseconds())
	for _, c := range cold {
		args = append(args, c.Field, c.Batch[:])
	}
	r := l.one(ctx, call{evictScript, []string{k.marker(), k.voters(), k.outbox()}, args})
	if r.err != nil {
		return 0, r.err
	}
	return r.rest[0].(int64), nil
}

// hotLoad writes the votes of hot items, between begin and finish.
type hotLoad struct {
	ctx    context.Context //nolint:containedctx // of one load
	ledger *Ledger
	keys   Keys
	epoch  int64

	voter, item string // whose votes these are
	ids         []byte
	args        []any // states to be sent
}

// loadVoters loads the votes for items from a time on, and writes down from when on they are all there.
func (l *Ledger) loadVoters(ctx context.Context, f Fence, b Ballot, fromMs string) error {
	from, err := strconv.ParseInt(fromMs, 10, 64)
	if err != nil {
		return fmt.Errorf("hot from: %w", err)
	}
	load := &hotLoad{ctx: ctx, ledger: l, keys: f.Keys(b.Name), epoch: f.Epoch}
	err = b.HotVotes(ctx, ItemID(time.UnixMilli(from)), load.vote)
	if errors.Is(err, ErrNotAll) {
		// Of the last voter there may be more votes, and of the last item more voters.
		if load.item == "" {
			return nil
		}
		id, err := strconv.ParseInt(load.item, 10, 64)
		if err != nil {
			return fmt.Errorf("hot votes: %w", err)
		}
		return load.send(strconv.FormatInt(id>>12+1, 10))
	}
	if err != nil {
		return fmt.Errorf("hot votes: %w", err)
	}
	load.state()
	return load.send(fromMs)
}

// vote takes one vote, of the same voter and item as the last one or of others.
func (h *hotLoad) vote(voter, item string, vote uuid.UUID) error {
	if voter != h.voter || item != h.item {
		h.state()
		h.voter, h.item = voter, item
		if len(h.args) >= 3*loadChunk {
			if err := h.send(""); err != nil {
				return err
			}
		}
	}
	h.ids = append(h.ids, vote[:]...)
	return nil
}

// state ends what is said of a voter and an item.
func (h *hotLoad) state() {
	if len(h.ids) > 0 {
		h.args = append(h.args, h.voter, h.item, h.ids)
		h.ids = nil
	}
}

func (h *hotLoad) send(hotFrom string) error {
	args := append([]any{h.epoch, hotFrom}, h.args...)
	h.args = nil
	return h.ledger.one(h.ctx, call{hotScript, []string{h.keys.marker(), h.keys.voters()}, args}).err
}
