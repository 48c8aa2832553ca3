package pgledger_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/littlevote/littlevote/libs/pgledger"
)

func TestToken(t *testing.T) {
	t.Parallel()
	want := pgledger.Token{Epoch: 1795230000, Admission: math.MaxInt64, Batch: uuid.MustParse("0190a8f4-0b1c-7abc-8def-0123456789ab")}
	text := want.String()
	if text != "1795230000.9223372036854775807.0190a8f40b1c7abc8def0123456789ab" {
		t.Errorf("token is %s", text)
	}
	if got, err := pgledger.ParseToken(text); err != nil || got != want {
		t.Errorf("parsed %+v, %v", got, err)
	}
	for _, bad := range []string{
		"", "1", "1.2", "1.2.", "..", text + ".", text + "0", " " + text, text + "\n", strings.ToUpper(text), "+" + text,
		strings.Replace(text, "1795230000", "0", 1), strings.Replace(text, "1795230000", "01", 1), "-" + text,
		strings.Replace(text, "9223372036854775807", "9223372036854775808", 1), strings.Repeat("9", 1<<20),
		"1.2.0190a8f4-0b1c-7abc-8def-0123456789ab",
	} {
		if got, err := pgledger.ParseToken(bad); !errors.Is(err, pgledger.ErrToken) {
			t.Errorf("%.60q is %+v, %v", bad, got, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("1.2.0190a8f40b1c7abc8def0123456789ab")
	f.Add("1..")
	f.Fuzz(func(t *testing.T, text string) {
		if token, err := pgledger.ParseToken(text); err == nil && token.String() != text {
			t.Errorf("%q became %q", text, token.String())
		}
	})
}

// G8 with a token: a read says whether the vote is in it.
func TestTalliesAt(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	batch := newBatch("main", 1, "A", "B")
	id := uuid.UUID(batch.GetBatchId())
	satisfied := func(token *pgledger.Token) bool {
		t.Helper()
		r, err := pgledger.TalliesAt(t.Context(), pool, "main", nil, token)
		if err != nil {
			t.Fatal(err)
		}
		return r.Seen
	}
	caughtUp := func() time.Time {
		t.Helper()
		r, err := pgledger.TalliesAt(t.Context(), pool, "main", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.CaughtUp
	}
	if !caughtUp().IsZero() {
		t.Error("nobody has said yet that anything is applied")
	}
	token := &pgledger.Token{Epoch: 1, Admission: 1, Batch: id}
	if !satisfied(nil) || satisfied(token) {
		t.Error("before the batch: a read without a token is fine, one with it is not")
	}
	mustApply(t, pool, batch)
	if !satisfied(token) || satisfied(&pgledger.Token{Epoch: 1, Admission: 1, Batch: uuid.Must(uuid.NewV7())}) {
		t.Error("after the batch: its token is satisfied, another is not")
	}
	var before, after time.Time
	ask := func(at *time.Time) {
		if err := pool.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(at); err != nil {
			t.Fatal(err)
		}
	}
	ask(&before)
	got, err := pgledger.TalliesAt(t.Context(), pool, "main", []string{"B", "C"}, nil)
	ask(&after)
	want := []pgledger.Tally{{"B", 1, 2, time.UnixMilli(batch.GetAdmittedAtMs())}}
	if diff := cmp.Diff(want, got.Tallies); err != nil || diff != "" || got.Epoch.Number != 1 || got.Epoch.Mode != "redis" {
		t.Errorf("tallies (-want +got), %+v, %v:\n%s", got.Epoch, err, diff)
	}
	if got.At.Before(before) || got.At.After(after) {
		t.Errorf("read at %v, between %v and %v", got.At, before, after)
	}
	setEpoch(t, pool, 2, "open")
	if !satisfied(&pgledger.Token{Epoch: 1, Admission: 9, Batch: uuid.Must(uuid.NewV7())}) {
		t.Error("the epoch is over, and with it everything acknowledged is applied")
	}
	// Batch ids are forgotten one day; by then everything so old is applied.
	made := time.Now().Add(-30 * time.Hour)
	old := &pgledger.Token{Epoch: 2, Admission: 1, Batch: idAt(made)}
	topic := uuid.New()
	if _, err := pgledger.Offsets(t.Context(), pool, topic, 2); err != nil {
		t.Fatal(err)
	}
	if satisfied(old) {
		t.Error("an old token, and nothing is caught up")
	}
	now := time.Now().Truncate(time.Microsecond)
	if err := pgledger.CaughtUp(t.Context(), pool, topic, map[int32]int64{0: 0}, now); err != nil {
		t.Fatal(err)
	}
	if satisfied(old) || !caughtUp().Equal(time.Unix(0, 0)) {
		t.Error("an old token, and one partition is not caught up")
	}
	if err := pgledger.CaughtUp(t.Context(), pool, topic, map[int32]int64{1: 0}, now.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if got := caughtUp(); !got.Equal(now) {
		t.Errorf("caught up to %v, want that of the partition which is further behind, %v", got, now)
	}
	if !satisfied(old) || satisfied(&pgledger.Token{Epoch: 2, Admission: 1, Batch: idAt(time.Now().Add(-time.Hour))}) {
		t.Error("caught up: a token of long ago is satisfied, one of an hour ago is not")
	}
	run(t, pool, "DELETE FROM ledger_epoch")
	if _, err := pgledger.TalliesAt(t.Context(), pool, "main", nil, nil); !errors.Is(err, pgledger.ErrNoEpoch) {
		t.Errorf("error is %v, want ErrNoEpoch", err)
	}
}

// idAt is a UUIDv7 made at a moment.
func idAt(at time.Time) uuid.UUID {
	id := uuid.Must(uuid.NewV7())
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	return id
}

// Voters' votes and retractions through the log, in either order (hole H17).
func TestApplyVoters(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	kept, first, second := voterBatch(1, "u"), voterBatch(2, "u"), voterBatch(4, "u")
	before, after := retractionBatch(first, 3), retractionBatch(second, 5)
	mustApply(t, pool, before)
	mustApply(t, pool, first, kept)
	mustApply(t, pool, second, after) // both in one transaction
	voters, err := votersOf(t, pool, "u")
	want := map[string][]uuid.UUID{"u": {uuid.UUID(kept.GetVotes()[0].GetVoteId())}}
	if diff := cmp.Diff(want, voters); err != nil || diff != "" {
		t.Errorf("votes that count (-want +got), %v:\n%s", err, diff)
	}
	for i, b := range []*struct {
		batch, retracted uuid.UUID
	}{
		{uuid.UUID(first.GetVotes()[0].GetVoteId()), uuid.Nil},
		{uuid.UUID(before.GetVotes()[0].GetVoteId()), uuid.UUID(first.GetVotes()[0].GetVoteId())},
	} {
		v, err := pgledger.VoteOf(t.Context(), pool, "main", b.batch)
		if err != nil || v == nil || v.Retracts != b.retracted || v.Retracted != (b.retracted == uuid.Nil) {
			t.Errorf("vote %d is %+v, %v", i, v, err)
		}
	}
	if v, err := pgledger.VoteOf(t.Context(), pool, "main", uuid.New()); v != nil || err != nil {
		t.Errorf("a vote that nobody cast is %+v, %v", v, err)
	}
	if n := count(t, pool, "tickets"); n != 1 {
		t.Errorf("%d tickets: a retraction takes no use", n)
	}
	expectRecount(t, pool)
}

func TestDropped(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	late := voterBatch(1, "u")
	taken := retractionBatch(voterBatch(1, "u"), 2)
	setEpoch(t, pool, 2, "open")
	batch := pgledger.Batch{Events: eventsOf(late, taken)}
	for i, e := range batch.Events {
		record, err := proto.Marshal(e.VoteBatch)
		if err != nil {
			t.Fatal(err)
		}
		batch.Events[i].Record = record
	}
	if _, err := pgledger.Apply(t.Context(), pool, batch); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		ballot string
		id     []byte
		want   bool
	}{
		"a vote in it":                 {"main", late.GetVotes()[0].GetVoteId(), true},
		"a retraction in it":           {"main", taken.GetVotes()[0].GetVoteId(), true},
		"what the retraction was for":  {"main", taken.GetVotes()[0].GetRetracts(), false},
		"another ballot's":             {"cast", late.GetVotes()[0].GetVoteId(), false},
		"an id that stands in nothing": {"main", make([]byte, 16), false},
	} {
		if got, err := pgledger.Dropped(t.Context(), pool, c.ballot, uuid.UUID(c.id)); err != nil || got != c.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestReadsFormat(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	expect := func(want int32) {
		t.Helper()
		if got, err := pgledger.ReadsFormat(t.Context(), pool); err != nil || got != want {
			t.Errorf("format %d, %v, want %d", got, err, want)
		}
	}
	beat := func(id string, format int, lease time.Duration) {
		t.Helper()
		if _, err := pgledger.Beat(t.Context(), pool, id, format, lease); err != nil {
			t.Fatal(err)
		}
	}
	expect(math.MaxInt32)
	beat("new", 2, time.Minute)
	expect(2)
	beat("old", 1, time.Minute)
	expect(1)
	beat("old", 1, -time.Second)
	expect(2)
}
