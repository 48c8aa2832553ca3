package redisledger_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

// like is a row of the ledger.
type like struct {
	voter, item string
	id          uuid.UUID
}

// likes is the ballot of likes; with rows, as an epoch that begins with them.
func likes(hotFor time.Duration, rows ...like) redisledger.Ballot {
	b := redisledger.Ballot{Name: "acme.likes", VotesPerVoter: 1, PerCandidate: true, Ticketless: true, HotFor: hotFor}
	if rows == nil {
		return b
	}
	b.Admissions = int64(len(rows)) + 1
	b.HotVotes = func(_ context.Context, from string, yield func(voter, candidate string, vote uuid.UUID) error) error {
		for _, r := range rows {
			if len(r.item) == 16 && r.item >= from {
				if err := yield(r.voter, r.item, r.id); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return b
}

func likeOf(voter, item string) redisledger.Entry {
	e := vote(voter)
	e.Candidate = item
	return e
}

func unlike(e redisledger.Entry) redisledger.Entry {
	n := takeBack(e)
	n.Candidate = e.Candidate
	return n
}

// do admits one entry without a ticket.
func (b *bench) do(e redisledger.Entry) redisledger.Code {
	b.t.Helper()
	batch := retraction(b, e)
	v := b.admit(batch)
	if v.Entries[0].Code == redisledger.OK {
		b.settle(batch, v, nil)
	}
	return v.Entries[0].Code
}

func (b *bench) voted(voter string, items ...string) []redisledger.Voted {
	b.t.Helper()
	v, err := b.ledger.Voted(b.t.Context(), b.fence, b.ballot, voter, items)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func (b *bench) cold() []redisledger.ColdVoter {
	b.t.Helper()
	var all []redisledger.ColdVoter
	for cursor := uint64(0); ; {
		cold, next, err := b.ledger.ColdVoters(b.t.Context(), b.fence, b.ballot, cursor, 100)
		if err != nil {
			b.t.Fatal(err)
		}
		all = append(all, cold...)
		if cursor = next; cursor == 0 {
			return all
		}
	}
}

func (b *bench) evict(want int64, cold ...redisledger.ColdVoter) {
	b.t.Helper()
	if n, err := b.ledger.EvictVoters(b.t.Context(), b.fence, b.ballot, cold); n != want || err != nil {
		b.t.Fatalf("%d evicted, want %d (%v)", n, want, err)
	}
}

func (b *bench) text(period int64) string { return strconv.FormatInt(period, 10) }

func (b *bench) want(what string, want, got any) {
	b.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

var (
	liked    = redisledger.Voted{Known: true, Voted: true}
	notLiked = redisledger.Voted{Known: true}
	unknown  = redisledger.Voted{}
)

func TestS61ASecondLikeAndAnUnlikeWithoutALikeAreRefused(t *testing.T) {
	item := redisledger.ItemID(time.Now())
	b := newContest(t, likes(time.Hour), true)
	e := likeOf("ann", item)
	b.want("unlike without a like", redisledger.NoVote, b.do(unlike(e)))
	b.want("like", redisledger.OK, b.do(e))
	b.want("second like", redisledger.Limit, b.do(likeOf("ann", item)))
	b.want("another item", redisledger.OK, b.do(likeOf("ann", "photo:1")))
	b.want("somebody else", redisledger.OK, b.do(likeOf("bob", item)))
	b.want("unlike", redisledger.OK, b.do(unlike(e)))
	b.want("second unlike", redisledger.NoVote, b.do(unlike(e)))
	b.want("like again", redisledger.OK, b.do(likeOf("ann", item)))
}

// All that was ever said of a hot item is in Redis, so that no database is asked about it.
func TestS84NothingInTheHashIsNotLikedWithoutALookUp(t *testing.T) {
	hot, cold := redisledger.ItemID(time.Now()), redisledger.ItemID(time.Now().Add(-2*time.Hour))
	row := like{"ann", hot, uuid.New()}
	b := newContest(t, likes(time.Hour, row, like{"ann", cold, uuid.New()}), false)
	b.want("before", []redisledger.Voted{liked, unknown, unknown}, b.voted("ann", hot, cold, "photo:1"))
	b.want("bob", []redisledger.Voted{notLiked, unknown}, b.voted("bob", hot, cold))
	b.want("liked before this epoch", redisledger.Limit, b.do(likeOf("ann", hot)))
	b.want("not liked before", redisledger.OK, b.do(likeOf("bob", hot)))
	b.want("unlike without a like", redisledger.NoVote, b.do(unlike(likeOf("eve", hot))))
	b.want("a cold item", redisledger.LookUpVoter, b.do(likeOf("bob", cold)))
	state, err := b.ledger.VoterState(t.Context(), b.fence, b.ballot, "ann", hot)
	if err != nil {
		t.Fatal(err)
	}
	b.want("the like", redisledger.VoterState{Known: true, Votes: []uuid.UUID{row.id}}, state)
	b.want("unlike", redisledger.OK, b.do(unlike(redisledger.Entry{Voter: "ann", Candidate: hot, VoteID: row.id})))
	b.want("after", []redisledger.Voted{notLiked}, b.voted("ann", hot))
	b.want("what is there and empty", redisledger.NoVote, b.do(unlike(redisledger.Entry{Voter: "ann", Candidate: hot, VoteID: row.id})))
}

// An epoch that begins without the votes of hot items knows none of those made before it.
func TestS84WhatWasNotLoadedIsLookedUp(t *testing.T) {
	rules := likes(time.Hour, like{})
	rules.HotVotes = nil
	b := newContest(t, rules, false)
	b.want("hot by its age", redisledger.LookUpVoter, b.do(likeOf("ann", redisledger.ItemID(time.Now()))))
}

func TestS62TheBorderMovesByItself(t *testing.T) {
	const hotFor = 400 * time.Millisecond
	b := newContest(t, likes(hotFor, like{}), false)
	item := redisledger.ItemID(time.Now())
	b.want("hot", redisledger.OK, b.do(likeOf("ann", item)))
	testenv.Eventually(t, 5*time.Second, func() error {
		if got := b.voted("bob", item)[0]; got != unknown {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	b.want("cold", redisledger.LookUpVoter, b.do(likeOf("bob", item)))
	b.want("what is still there", redisledger.Limit, b.do(likeOf("ann", item)))
}

func TestS62EvictionLosesNoState(t *testing.T) {
	const hotFor = 400 * time.Millisecond
	item := redisledger.ItemID(time.Now())
	row := like{"ann", item, uuid.New()}
	b := newContest(t, likes(hotFor, row), false)
	if cold := b.cold(); len(cold) > 0 {
		t.Fatalf("a hot item: %+v", cold)
	}
	seen := []redisledger.ColdVoter{{Field: "ann\x00" + item}}
	b.evict(0, seen...)
	testenv.Eventually(t, 5*time.Second, func() error {
		if diff := cmp.Diff(seen, b.cold()); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
	b.evict(1, seen...)
	b.want("evicted", []redisledger.Voted{unknown}, b.voted("ann", item))
	again := likeOf("ann", item)
	b.want("another like", redisledger.LookUpVoter, b.do(again))
	again.VoterState = []uuid.UUID{row.id}
	b.want("another like, looked up", redisledger.Limit, b.do(again))
	back := unlike(redisledger.Entry{Voter: "ann", Candidate: item, VoteID: row.id})
	back.VoterState = []uuid.UUID{row.id}
	b.want("unlike, looked up", redisledger.OK, b.do(back))
	b.evict(0, seen...) // it is another state than was seen
	b.want("back", []redisledger.Voted{notLiked}, b.voted("ann", item))
}

// H31, H32: what is evicted is settled, and older than any look-up under way; and from then on it is missed.
func TestS62WhatIsYoungOrWaitsIsNotEvicted(t *testing.T) {
	c := newClock(t, likes(time.Minute), true)
	item := redisledger.ItemID(c.now)
	c.cast(likeOf("ann", item))
	waiting := c.batch(likeOf("bob", item))
	held := c.admit(waiting)
	c.pass(time.Hour)
	if cold := c.cold(); len(cold) > 0 {
		t.Fatalf("an hour old: a look-up may have begun before: %+v", cold)
	}
	c.pass(6 * time.Minute)
	cold := c.cold()
	if len(cold) != 1 || cold[0].Field != "ann\x00"+item {
		t.Fatalf("%+v", cold)
	}
	c.evict(0, redisledger.ColdVoter{Field: "bob\x00" + item, Batch: waiting.ID})
	c.settle(waiting, held, nil)
	c.evict(2, c.cold()...)
	for _, voter := range []string{"ann", "bob", "eve"} {
		if got := c.code(c.batch(likeOf(voter, item))); got != redisledger.LookUpVoter {
			t.Fatalf("%s: %s: an epoch that began with nothing has forgotten something now", voter, got)
		}
	}
	fresh := redisledger.ItemID(c.now)
	c.want("a hot item", []redisledger.Voted{notLiked}, c.voted("ann", fresh))
	c.pass(-67 * time.Minute)
	c.want("whatever the clock does", []redisledger.Voted{unknown}, c.voted("ann", item))
}

// All of a voter's votes for a candidate are one state, however many there are, and all states are loaded.
func TestHotVotesAreLoadedCompletely(t *testing.T) {
	item := redisledger.ItemID(time.Now())
	var rows []like
	for i := range 1203 {
		rows = append(rows, like{fmt.Sprintf("voter %04d", i), item, uuid.New()})
	}
	rows = append(rows, like{rows[1202].voter, item, uuid.New()}, like{"ann", redisledger.ItemID(time.Now().Add(time.Hour)), uuid.New()})
	b := newContest(t, likes(time.Hour, rows...), false)
	for i := 0; i < len(rows); i += 43 {
		r := rows[i]
		b.want(r.voter, []redisledger.Voted{liked}, b.voted(r.voter, r.item))
	}
	state, err := b.ledger.VoterState(t.Context(), b.fence, b.ballot, rows[1202].voter, item)
	if err != nil {
		t.Fatal(err)
	}
	b.want("two votes", []uuid.UUID{rows[1202].id, rows[1203].id}, state.Votes)
	b.want("nobody", []redisledger.Voted{notLiked}, b.voted("nobody", item))
}

func TestLoadFailsWithItsHotVotes(t *testing.T) {
	b := newContest(t, likes(time.Hour), true)
	rules := likes(time.Hour, like{})
	broken := errors.New("broken")
	rules.Name = "late"
	rules.HotVotes = func(context.Context, string, func(string, string, uuid.UUID) error) error { return broken }
	if err := b.ledger.Load(t.Context(), b.fence, rules, false); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if err := b.ledger.Alive(t.Context(), b.fence, "late"); !errors.Is(err, redisledger.ErrWrongEpoch) {
		t.Fatalf("a ballot without its hot votes is nobody's ledger: %v", err)
	}
}

// What cannot be told from Redis is unknown, and never "no".
func TestVotedByKindOfBallot(t *testing.T) {
	pending := redisledger.Voted{Known: true, Voted: true, Pending: true}
	for name, c := range map[string]struct {
		rules       redisledger.Ballot
		any, forA   redisledger.Voted // of a voter whose vote for A waits
		none, noneA redisledger.Voted // of somebody who has not voted
	}{
		"in all":        {redisledger.Ballot{}, pending, unknown, notLiked, notLiked},
		"per candidate": {redisledger.Ballot{PerCandidate: true}, unknown, pending, unknown, notLiked},
		"per period":    {redisledger.Ballot{VoterPeriod: 1000 * time.Hour}, pending, unknown, unknown, unknown},
	} {
		t.Run(name, func(t *testing.T) {
			c.rules.Name, c.rules.VotesPerVoter, c.rules.Ticketless = "b", 1, true
			b := newContest(t, c.rules, true)
			b.admit(retraction(b, likeOf("ann", "A")))
			b.want("ann", []redisledger.Voted{c.any}, b.voted("ann"))
			b.want("ann, A", []redisledger.Voted{c.forA}, b.voted("ann", "A"))
			b.want("bob", []redisledger.Voted{c.none}, b.voted("bob"))
			b.want("bob, A", []redisledger.Voted{c.noneA}, b.voted("bob", "A"))
		})
	}
}

// An epoch can't wait for all that was ever liked: what there is no time for is looked up, as if it were cold.
func TestHotVotesMayBeTooMany(t *testing.T) {
	item := func(minutes int) string {
		return redisledger.ItemID(time.Now().Add(time.Duration(minutes) * time.Minute))
	}
	newest, middle, oldest := item(0), item(-1), item(-2)
	rules := likes(time.Hour, like{})
	rules.HotVotes = func(_ context.Context, _ string, yield func(voter, candidate string, vote uuid.UUID) error) error {
		for _, r := range []like{{"ann", newest, uuid.New()}, {"bob", newest, uuid.New()}, {"ann", middle, uuid.New()}, {"bob", middle, uuid.New()}} {
			if err := yield(r.voter, r.item, r.id); err != nil {
				return err
			}
		}
		return redisledger.ErrNotAll
	}
	b := newContest(t, rules, false)
	b.want("ann", []redisledger.Voted{liked, liked, unknown}, b.voted("ann", newest, middle, oldest))
	b.want("bob, whose last votes may be more", []redisledger.Voted{liked, unknown, unknown}, b.voted("bob", newest, middle, oldest))
	b.want("eve", []redisledger.Voted{notLiked, unknown, unknown}, b.voted("eve", newest, middle, oldest))
}

// However many requests race, on whatever batches: one is counted, the others wait for it or are refused.
func TestS61OneOfManyLikesAtOnceCounts(t *testing.T) {
	b := newContest(t, likes(time.Hour), true)
	item := redisledger.ItemID(time.Now())
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		codes = map[redisledger.Code]int{}
	)
	for range 12 {
		wg.Go(func() {
			batch := retraction(b, likeOf("ann", item))
			a, _ := b.ledger.Admit(t.Context(), b.fence, batch, 100, nil)
			if a.Err != nil {
				t.Error(a.Err)
				return
			}
			code := a.Verdict.Entries[0].Code
			if code == redisledger.OK {
				s := b.ledger.Settle(t.Context(), b.settlement(batch, a.Verdict, map[string]int64{item: 1}))
				if s.Err != nil {
					t.Error(s.Err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			codes[code]++
		})
	}
	wg.Wait()
	if codes[redisledger.OK] != 1 || codes[redisledger.Busy]+codes[redisledger.Limit] != 11 {
		t.Fatalf("%v", codes)
	}
	if got := b.votes(item); got != 1 {
		t.Fatalf("%d likes", got)
	}
}

// What could not be sent is taken back out of Redis, as if it had never come.
func TestS68ARefundRestoresTheLikes(t *testing.T) {
	b := newContest(t, likes(time.Hour), true)
	item := redisledger.ItemID(time.Now())
	refund := func(e redisledger.Entry) {
		t.Helper()
		batch := retraction(b, e)
		v := b.admit(batch)
		b.want("admitted", redisledger.OK, v.Entries[0].Code)
		if ok, err := b.ledger.Refund(t.Context(), b.fence, batch, &v); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	e := likeOf("ann", item)
	refund(e)
	b.want("not liked", []redisledger.Voted{notLiked}, b.voted("ann", item))
	b.want("unlike", redisledger.NoVote, b.do(unlike(e)))
	e = likeOf("ann", item)
	b.want("like", redisledger.OK, b.do(e))
	refund(unlike(e))
	b.want("liked", []redisledger.Voted{liked}, b.voted("ann", item))
	b.want("second like", redisledger.Limit, b.do(likeOf("ann", item)))
}
