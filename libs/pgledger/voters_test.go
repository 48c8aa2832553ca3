package pgledger_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/littlevote/littlevote/libs/pgledger"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// likeAt is a batch with one vote of a voter for one candidate, admitted at a moment.
func likeAt(first int64, voter, candidate string, at time.Time) *eventv1.VoteBatch {
	b := newBatch("main", first, candidate)
	b.Format, b.AdmittedAtMs = 2, at.UnixMilli()
	b.Votes[0].VoterId = voter
	return b
}

func voteID(b *eventv1.VoteBatch) uuid.UUID { return uuid.UUID(b.GetVotes()[0].GetVoteId()) }

// What a limit counts: all of a voter's votes, those for a candidate, those of a period, or both.
func TestVotersOf(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	const period = time.Hour
	noon := time.Date(2026, time.November, 21, 12, 0, 0, 0, time.UTC)
	first, second := likeAt(1, "u", "x", noon.Add(-time.Millisecond)), likeAt(2, "u", "x", noon)
	other, gone := likeAt(3, "u", "y", noon.Add(period-time.Millisecond)), likeAt(4, "u", "x", noon.Add(time.Minute))
	mustApply(t, pool, retractionBatch(gone, 5), likeAt(6, "v", "x", noon))
	mustApply(t, pool, first, second, other, gone)
	now := (&pgledger.Ballot{VoterPeriod: period}).Period(noon)
	for name, c := range map[string]struct {
		ballot pgledger.Ballot
		key    pgledger.VoterKey
		want   []*eventv1.VoteBatch
	}{
		"all":                      {pgledger.Ballot{}, pgledger.VoterKey{Voter: "u"}, []*eventv1.VoteBatch{first, second, other}},
		"for a candidate":          {pgledger.Ballot{PerCandidate: true}, pgledger.VoterKey{Voter: "u", Candidate: "x"}, []*eventv1.VoteBatch{first, second}},
		"of a period":              {pgledger.Ballot{VoterPeriod: period}, pgledger.VoterKey{Voter: "u", Period: now}, []*eventv1.VoteBatch{second, other}},
		"of the one before":        {pgledger.Ballot{VoterPeriod: period}, pgledger.VoterKey{Voter: "u", Period: now - 1}, []*eventv1.VoteBatch{first}},
		"of the one after":         {pgledger.Ballot{VoterPeriod: period}, pgledger.VoterKey{Voter: "u", Period: now + 1}, nil},
		"for a candidate, of both": {pgledger.Ballot{PerCandidate: true, VoterPeriod: period}, pgledger.VoterKey{Voter: "u", Candidate: "x", Period: now}, []*eventv1.VoteBatch{second}},
		"of nobody":                {pgledger.Ballot{}, pgledger.VoterKey{Voter: "w"}, nil},
	} {
		c.ballot.Name = "main"
		got, err := pgledger.VotersOf(t.Context(), pool, &c.ballot, []pgledger.VoterKey{c.key, c.key})
		var want []uuid.UUID
		for _, b := range c.want {
			want = append(want, voteID(b))
		}
		if diff := cmp.Diff(want, got[c.key]); err != nil || diff != "" {
			t.Errorf("%s (-want +got), %v:\n%s", name, err, diff)
		}
	}
	last, err := pgledger.LastVote(t.Context(), pool, "main", "u", "x")
	if err != nil || last == nil || last.ID != voteID(second) || !last.VotedAt.Equal(noon) {
		t.Errorf("the last vote is %+v, %v", last, err)
	}
	if last, err := pgledger.LastVote(t.Context(), pool, "main", "v", "y"); err != nil || last != nil {
		t.Errorf("the last vote of nobody is %+v, %v", last, err)
	}
	voted, err := pgledger.Voted(t.Context(), pool, "main", "u", []string{"y", "", "z", "x", "y"})
	if diff := cmp.Diff([]bool{true, false, false, true, true}, voted); err != nil || diff != "" {
		t.Errorf("voted (-want +got), %v:\n%s", err, diff)
	}
	for voter, want := range map[string]bool{"u": true, "w": false} {
		if got, err := pgledger.HasVote(t.Context(), pool, "main", voter); err != nil || got != want {
			t.Errorf("%s has a vote: %v, %v", voter, got, err)
		}
	}
	expectRecount(t, pool)
}

// Pages stay where they are, whatever comes in front of them or goes.
func TestListVotes(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	noon := time.Date(2026, time.November, 21, 12, 0, 0, 0, time.UTC)
	var want []pgledger.VoterVote
	for i := range 7 {
		at := noon.Add(-time.Duration(i/2) * time.Second) // two at the same moment
		b := likeAt(int64(i+1), "u", "x", at)
		mustApply(t, pool, b, likeAt(int64(i+100), "v", "y", at))
		want = append(want, pgledger.VoterVote{ID: voteID(b), Voter: "u", Candidate: "x", VotedAt: at})
	}
	for name, q := range map[string]pgledger.VotesQuery{
		"of a voter": {Voter: "u", Limit: 2}, "for a candidate": {Candidate: "x", Limit: 3},
	} {
		var got []pgledger.VoterVote
		for {
			page, err := pgledger.ListVotes(t.Context(), pool, "main", q)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page...)
			if len(page) < q.Limit {
				break
			}
			cursor, err := pgledger.ParseVoteCursor(page[len(page)-1].Cursor().String())
			if err != nil {
				t.Fatal(err)
			}
			q.After = &cursor
			late := likeAt(200, "u", "x", noon.Add(time.Hour))
			mustApply(t, pool, late)
			mustApply(t, pool, retractionBatch(late, 201))
		}
		if diff := cmp.Diff(want, got, cmpopts.SortSlices(func(a, b pgledger.VoterVote) bool { return a.ID.String() < b.ID.String() })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for i := 1; i < len(got); i++ {
			if got[i].VotedAt.After(got[i-1].VotedAt) {
				t.Errorf("%s: vote %d is newer than the one before", name, i)
			}
		}
	}
}

func TestVoteCursor(t *testing.T) {
	t.Parallel()
	want := pgledger.VoteCursor{VotedAt: time.UnixMicro(1795230000123456), ID: uuid.MustParse("0190a8f4-0b1c-7abc-8def-0123456789ab")}
	if got, err := pgledger.ParseVoteCursor(want.String()); err != nil || got != want {
		t.Errorf("parsed %+v, %v", got, err)
	}
	for _, bad := range []string{"", "x", want.String() + "A", want.String()[1:], strings.Repeat("_", 32), "=" + want.String()[1:]} {
		if got, err := pgledger.ParseVoteCursor(bad); !errors.Is(err, pgledger.ErrCursor) {
			t.Errorf("%q is %+v, %v", bad, got, err)
		}
	}
}

// S61, S84: all that an epoch in Redis must know of hot items, and nothing of others.
func TestS61HotVotersAreAllRead(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	now := time.Now()
	item := func(n int) string { return fmt.Sprintf("%016d", n) }
	gone := likeAt(1, "u", item(600), now)
	first, second := likeAt(2, "u", item(500), now), likeAt(3, "u", item(500), now.Add(time.Second))
	other := likeAt(4, "v", item(700), now)
	mustApply(t, pool, gone, retractionBatch(gone, 5), second, first, other,
		likeAt(6, "u", item(499), now), likeAt(7, "u", "500", now), likeAt(8, "u", "00000000000005OO", now),
		likeAt(9, "u", "zebra", now), likeAt(10, "u", "9", now))
	var got []uuid.UUID
	read := func(from string, yield func(pgledger.VoterVote) error) error {
		return pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			return pgledger.HotVoters(t.Context(), tx, "main", from, yield)
		})
	}
	err := read(item(500), func(v pgledger.VoterVote) error {
		got = append(got, v.ID)
		return nil
	})
	if diff := cmp.Diff([]uuid.UUID{voteID(other), voteID(first), voteID(second)}, got); err != nil || diff != "" {
		t.Errorf("votes (-want +got), %v:\n%s", err, diff)
	}
	stop := errors.New("stop")
	if err := read("", func(pgledger.VoterVote) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error is %v, want that of yield", err)
	}
}
