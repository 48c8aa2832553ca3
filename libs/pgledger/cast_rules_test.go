package pgledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

func TestCastTickets(t *testing.T) {
	t.Parallel()
	pool := newPgLedger(t)
	with := func(value string) pgledger.CastVote {
		v := vote("A")
		v.Ticket = value
		return v
	}
	expectCodes(t, mustCast(t, pool, castBatch("main", vote("A"), with("any"))), pgledger.CastExpired, pgledger.CastExpired)
	first := mintTicket(t, pool, "main", 3)
	// G4: the first ones are accepted, exactly as many as the ticket has uses left.
	result := mustCast(t, pool, castBatch("main", with("other"), with(first.Value), vote("A"), with(first.Value), vote("A")))
	expectCodes(t, result, pgledger.CastSuperseded, pgledger.CastOK, pgledger.CastOK, pgledger.CastOK, pgledger.CastExhausted)
	expectCodes(t, mustCast(t, pool, castBatch("main", vote("A"), with("other"))), pgledger.CastExhausted, pgledger.CastSuperseded)
	// G5: a ticket ends at its time by the clock of Postgres, and the one before the newest is over.
	run(t, pool, "UPDATE tickets SET created_at = now() - interval '2 minutes', expires_at = now()")
	expectCodes(t, mustCast(t, pool, castBatch("main", with(first.Value))), pgledger.CastExpired)
	mintTicket(t, pool, "main", pgledger.NoCap)
	expectCodes(t, mustCast(t, pool, castBatch("main", with(first.Value), vote("A"))), pgledger.CastSuperseded, pgledger.CastOK)
	if votes := votesOf(t, pool, "main"); votes["A"] != 4 {
		t.Errorf("votes are %v", votes)
	}
	expectRecount(t, pool)
}

func TestCastKeys(t *testing.T) {
	t.Parallel()
	pool := newPgLedger(t)
	mintTicket(t, pool, "main", 2)
	mintTicket(t, pool, "cast", 2)
	v := keyed(vote("A"))
	first := castBatch("main", v)
	mustCast(t, pool, first)
	other := v
	other.BodyHash[0]++
	result := mustCast(t, pool, castBatch("main", other, v))
	want := []pgledger.CastVerdict{{Code: pgledger.CastReused}, {Code: pgledger.CastSame, Batch: first.ID}}
	if diff := cmp.Diff(want, result.Verdicts); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	// Hole H14: the key comes before whatever time and other votes have changed.
	mustCast(t, pool, castBatch("main", vote("A")))
	expectCodes(t, mustCast(t, pool, castBatch("main", v)), pgledger.CastSame)
	run(t, pool, "UPDATE tickets SET created_at = created_at - interval '1 hour', expires_at = now()")
	expectCodes(t, mustCast(t, pool, castBatch("main", v, vote("A"))), pgledger.CastSame, pgledger.CastExpired)
	run(t, pool, "UPDATE ballots SET state = 'closed'")
	expectCodes(t, mustCast(t, pool, castBatch("main", v, vote("A"))), pgledger.CastSame, pgledger.CastClosed)
	run(t, pool, "UPDATE ballots SET state = 'open'")
	// A key belongs to its ballot.
	mintTicket(t, pool, "cast", 2)
	expectCodes(t, mustCast(t, pool, castBatch("cast", v)), pgledger.CastOK)
	expectRecount(t, pool)
}

// A key of an epoch in Redis, applied from the log, holds in Postgres too.
func TestCastKnowsAppliedKeys(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	old := newBatch("main", 1, "A")
	v := keyed(vote("A"))
	old.Votes[0].VoteId, old.Votes[0].BodyHash = v.ID[:], v.BodyHash[:]
	mustApply(t, pool, old)
	openPg(t, pool, 2)
	b := castBatch("main", v)
	b.Epoch = 2
	got := mustCast(t, pool, b).Verdicts[0]
	if diff := cmp.Diff(pgledger.CastVerdict{Code: pgledger.CastSame, Batch: uuid.UUID(old.GetBatchId())}, got); diff != "" {
		t.Errorf("verdict (-want +got):\n%s", diff)
	}
}

// G6: by the clock of Postgres, and by the ballot as it stands when the vote is decided.
func TestCastOpeningHours(t *testing.T) {
	t.Parallel()
	pool := newPgLedger(t)
	mintTicket(t, pool, "main", 100)
	for name, c := range map[string]struct {
		set  string
		want pgledger.CastCode
	}{
		"open":              {"state = 'open'", pgledger.CastOK},
		"a draft":           {"state = 'draft'", pgledger.CastClosed},
		"paused":            {"state = 'paused'", pgledger.CastClosed},
		"closed":            {"state = 'closed'", pgledger.CastClosed},
		"certified":         {"state = 'certified'", pgledger.CastClosed},
		"not yet":           {"opens_at = now() + interval '1 minute'", pgledger.CastClosed},
		"since a moment":    {"opens_at = now() - interval '5 ms'", pgledger.CastOK},
		"no more":           {"closes_at = now()", pgledger.CastClosed},
		"for a minute more": {"closes_at = now() + interval '1 minute'", pgledger.CastOK},
	} {
		run(t, pool, "UPDATE ballots SET state = 'open', opens_at = NULL, closes_at = NULL WHERE ballot = 'main'")
		run(t, pool, "UPDATE ballots SET "+c.set+" WHERE ballot = 'main'")
		if got := codes(mustCast(t, pool, castBatch("main", vote("A"))))[0]; got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestCastBoundsAnOpenList(t *testing.T) {
	t.Parallel()
	pool := newPgLedger(t)
	mintTicket(t, pool, "cast", 100)
	batch := func(votes ...pgledger.CastVote) pgledger.CastBatch {
		b := castBatch("cast", votes...)
		b.MaxNames = 3
		return b
	}
	result := mustCast(t, pool, batch(vote("a", "b", "a"), vote("b"), vote("c", "d"), vote("c"), vote("d"), vote("a", "c")))
	expectCodes(t, result, pgledger.CastOK, pgledger.CastOK, pgledger.CastNames, pgledger.CastOK, pgledger.CastNames, pgledger.CastOK)
	expectCodes(t, mustCast(t, pool, batch(vote("d"), vote("c", "b", "a"))), pgledger.CastNames, pgledger.CastOK)
	if diff := cmp.Diff(map[string]int64{"a": 4, "b": 3, "c": 3}, votesOf(t, pool, "cast")); diff != "" {
		t.Errorf("votes (-want +got):\n%s", diff)
	}
}

// Where the ballot has no limit, a voter has what fits into Redis, and a vote needs no voter.
func TestCastBoundsAVoterWithoutALimit(t *testing.T) {
	t.Parallel()
	pool := newPgLedger(t)
	mintTicket(t, pool, "main", 10)
	run(t, pool, `INSERT INTO voter_votes (ballot, voter, vote_id, retracted)
		SELECT 'main', 'u', gen_random_uuid(), false FROM generate_series(2, $1::int)`, redisledger.MaxVoterVotes)
	last := by("u", vote("A"))
	expectCodes(t, mustCast(t, pool, castBatch("main", last, by("u", vote("A")), by("v", vote("A")), vote("A"))),
		pgledger.CastOK, pgledger.CastLimit, pgledger.CastOK, pgledger.CastOK)
	expectCodes(t, mustCast(t, pool, castBatch("main", by("u", vote("A")))), pgledger.CastLimit)
	expectCodes(t, mustCast(t, pool, castBatch("main", retraction(last))), pgledger.CastOK)
	expectCodes(t, mustCast(t, pool, castBatch("main", by("u", vote("A")))), pgledger.CastOK)
}

// G7, and the retraction that gives a vote back.
func TestCastVoterLimit(t *testing.T) {
	t.Parallel()
	pool := newPgLedger(t)
	mintTicket(t, pool, "main", 5)
	run(t, pool, "UPDATE ballots SET votes_per_voter = 2 WHERE ballot = 'main'")
	one, two, three := by("u", vote("A")), by("u", vote("B", "A")), by("u", vote("A"))
	expectCodes(t, mustCast(t, pool, castBatch("main", one, two, three, by("v", vote("A")), vote("A"))),
		pgledger.CastOK, pgledger.CastOK, pgledger.CastLimit, pgledger.CastOK, pgledger.CastNoVoter)
	expectCodes(t, mustCast(t, pool, castBatch("main", by("u", vote("A")))), pgledger.CastLimit)

	back := retraction(two)
	again, foreign := retraction(two), retraction(one)
	foreign.Voter = "v"
	result := mustCast(t, pool, castBatch("main", back, again, foreign))
	expectCodes(t, result, pgledger.CastOK, pgledger.CastNoVote, pgledger.CastNoVote)
	if diff := cmp.Diff([]int64{0, 2}, result.Verdicts[0].Totals); diff != "" {
		t.Errorf("totals after the retraction (-want +got):\n%s", diff)
	}
	if v, err := pgledger.VoteOf(t.Context(), pool, "main", two.ID); err != nil || !v.Retracted {
		t.Errorf("the vote is %+v, %v", v, err)
	}
	if v, err := pgledger.VoteOf(t.Context(), pool, "main", back.ID); err != nil || v.Retracts != two.ID {
		t.Errorf("the retraction is %+v, %v", v, err)
	}
	if used := 5 - ticketState(t, pool, "main").Newest.Left; used != 3 {
		t.Errorf("%d uses, want those of the votes alone", used)
	}
	expectCodes(t, mustCast(t, pool, castBatch("main", retraction(two))), pgledger.CastNoVote)
	expectCodes(t, mustCast(t, pool, castBatch("main", three)), pgledger.CastOK)

	voters, err := votersOf(t, pool, "u", "v", "w")
	if err != nil || len(voters["u"]) != 2 || len(voters["v"]) != 1 || len(voters) != 2 {
		t.Errorf("voters are %v, %v", voters, err)
	}
	run(t, pool, "UPDATE ballots SET state = 'closed'")
	expectCodes(t, mustCast(t, pool, castBatch("main", retraction(one))), pgledger.CastClosed)
	expectRecount(t, pool)
}

func TestCastRefusesWhatIsMalformed(t *testing.T) {
	t.Parallel()
	pool := newPgLedger(t)
	uneven, none := vote("A", "B"), vote()
	uneven.Counts = uneven.Counts[:1]
	for name, votes := range map[string][]pgledger.CastVote{
		"a choice without a count": {uneven},
		"no choice":                {none},
		"two kinds in one batch":   {vote("A"), retraction(by("u", vote("A")))},
	} {
		if _, err := pgledger.Cast(t.Context(), pool, castBatch("main", votes...)); err == nil || pgledger.CommitUnknown(err) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

// The clock is read when the ballot is held, not before: whoever waited for it may be too late.
func TestCastReadsTheClockLast(t *testing.T) {
	t.Parallel()
	pool := newPgLedger(t)
	mintTicket(t, pool, "main", 100)
	holder, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Rollback(t.Context()) }()
	if _, err := holder.Exec(t.Context(), "SELECT FROM pg_ballots WHERE ballot = 'main' FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	answered := make(chan pgledger.CastResult, 1)
	go func() {
		result, err := pgledger.Cast(t.Context(), pool, castBatch("main", vote("A")))
		if err != nil {
			t.Errorf("cast: %v", err)
		}
		answered <- result
	}()
	awaitBlocked(t, pool)
	var released time.Time
	if err := holder.QueryRow(t.Context(), "SELECT date_trunc('milliseconds', clock_timestamp())").Scan(&released); err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), "UPDATE ballots SET closes_at = clock_timestamp() WHERE ballot = 'main'"); err != nil {
		t.Fatal(err)
	}
	if err := holder.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	result := <-answered
	if expectCodes(t, result, pgledger.CastClosed); result.At.Before(released) {
		t.Errorf("decided by the clock at %v, and waited until %v", result.At, released)
	}
}

// H30: a key of a time that is still to come would look young to Redis when that has come.
func TestCastRefusesKeysFromAhead(t *testing.T) {
	t.Parallel()
	pool := newPgLedger(t)
	mintTicket(t, pool, "main", 2)
	ahead := func(by time.Duration) pgledger.CastVote {
		v := keyed(vote("A"))
		v.ID = uuid.Must(uuid.NewV7())
		ms := time.Now().Add(by).UnixMilli()
		for i := range 6 {
			v.ID[i] = byte(ms >> (8 * (5 - i)))
		}
		return v
	}
	expectCodes(t, mustCast(t, pool, castBatch("main", ahead(2*time.Minute), ahead(5*time.Second))), pgledger.CastAhead, pgledger.CastOK)
}

// A limit per candidate counts each by itself, on a ballot without tickets; a vote for several has no place there.
func TestS61CastLimitsEachCandidate(t *testing.T) {
	t.Parallel()
	pool := newPgLedger(t)
	run(t, pool, "UPDATE ballots SET ticketless = true, votes_per_voter = 1, limit_scope = 'candidate' WHERE ballot = 'main'")
	like := by("u", vote("A"))
	result := mustCast(t, pool, castBatch("main", like, by("u", vote("B")), by("u", vote("A")), by("v", vote("A")), by("u", vote("C", "D")), vote("A")))
	expectCodes(t, result, pgledger.CastOK, pgledger.CastOK, pgledger.CastLimit, pgledger.CastOK, pgledger.CastNotOne, pgledger.CastNoVoter)
	expectCodes(t, mustCast(t, pool, castBatch("main", by("u", vote("A")))), pgledger.CastLimit)
	expectCodes(t, mustCast(t, pool, castBatch("main", change(like, vote("B")))), pgledger.CastNoVote)
	expectCodes(t, mustCast(t, pool, castBatch("main", retraction(like))), pgledger.CastOK)
	expectCodes(t, mustCast(t, pool, castBatch("main", retraction(like))), pgledger.CastNoVote)
	expectCodes(t, mustCast(t, pool, castBatch("main", by("u", vote("A")))), pgledger.CastOK)
	if n := count(t, pool, "tickets"); n != 0 {
		t.Errorf("%d tickets, want none", n)
	}
	if diff := cmp.Diff(map[string]int64{"A": 2, "B": 1}, votesOf(t, pool, "main")); diff != "" {
		t.Errorf("votes (-want +got):\n%s", diff)
	}
	expectRecount(t, pool)
}

// A limit per period begins anew with each, by the clock of Postgres; what was cast in an earlier one can't be changed.
func TestCastLimitsEachPeriod(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	const period = 1000 * time.Hour // longer than any test
	run(t, pool, "UPDATE ballots SET votes_per_voter = 1, voter_period_ms = $1 WHERE ballot = 'main'", period.Milliseconds())
	ballot := &pgledger.Ballot{VoterPeriod: period}
	begin := time.UnixMilli(ballot.Period(time.Now()) * period.Milliseconds())
	before, within := likeAt(1, "u", "A", begin.Add(-time.Millisecond)), likeAt(2, "v", "A", begin)
	mustApply(t, pool, before, within)
	openPg(t, pool, 2)
	cast := func(v pgledger.CastVote) pgledger.CastCode {
		t.Helper()
		b := castBatch("main", v)
		b.Epoch = 2
		return codes(mustCast(t, pool, b))[0]
	}
	if done, _, _, err := pgledger.MintTicket(t.Context(), pool, 2, "main", pgledger.Mint{
		Number: 1, Version: "2.1.0", Value: "value", Cap: 100, Interval: time.Minute,
	}); err != nil || done != pgledger.MintDone {
		t.Fatalf("a ticket: %v, %v", done, err)
	}
	again := by("u", vote("B"))
	change := func(of *eventv1.VoteBatch, voter string) pgledger.CastVote {
		v := by(voter, vote("A", "C"))
		v.Retracts, v.Replaces, v.Counts[0] = voteID(of), true, -1
		return v
	}
	for i, c := range []struct {
		vote pgledger.CastVote
		want pgledger.CastCode
	}{
		{change(before, "u"), pgledger.CastNoVote},
		{again, pgledger.CastOK},
		{by("u", vote("C")), pgledger.CastLimit},
		{by("v", vote("C")), pgledger.CastLimit},
		{change(within, "u"), pgledger.CastNoVote}, // another's
		{change(within, "v"), pgledger.CastOK},
	} {
		if got := cast(c.vote); got != c.want {
			t.Errorf("vote %d: %s, want %s", i, got, c.want)
		}
	}
	if diff := cmp.Diff(map[string]int64{"A": 1, "B": 1, "C": 1}, votesOf(t, pool, "main")); diff != "" {
		t.Errorf("votes (-want +got):\n%s", diff)
	}
	expectRecount(t, pool)
}

// A change is one act: the old choices go, the new ones come, also where they are the same; and it can be changed again.
func TestCastChanges(t *testing.T) {
	t.Parallel()
	pool := newPgLedger(t)
	run(t, pool, "UPDATE ballots SET votes_per_voter = 1 WHERE ballot = 'main'")
	mintTicket(t, pool, "main", 3)
	first := by("u", vote("A", "B"))
	second := change(first, vote("B", "C"))
	third := keyed(change(second, vote("A")))
	expectCodes(t, mustCast(t, pool, castBatch("main", first)), pgledger.CastOK)
	result := mustCast(t, pool, castBatch("main", second))
	want := []pgledger.CastVerdict{{Code: pgledger.CastOK, Admission: 2, Totals: []int64{0, 0, 1, 1}}}
	if diff := cmp.Diff(want, result.Verdicts); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	expectCodes(t, mustCast(t, pool, castBatch("main", change(first, vote("A")))), pgledger.CastNoVote)
	expectCodes(t, mustCast(t, pool, castBatch("main", third, by("v", vote("A")))), pgledger.CastOK, pgledger.CastExhausted)
	expectCodes(t, mustCast(t, pool, castBatch("main", third)), pgledger.CastSame)
	v, err := pgledger.VoteOf(t.Context(), pool, "main", second.ID)
	if err != nil || v == nil || !v.Change || !v.Retracted || v.Retracts != first.ID {
		t.Errorf("the second vote is %+v, %v", v, err)
	} else if diff := cmp.Diff([]pgledger.Choice{{"B", 1}, {"C", 1}}, v.Choices); diff != "" {
		t.Errorf("the second vote gave (-want +got):\n%s", diff)
	}
	voters, err := votersOf(t, pool, "u")
	if diff := cmp.Diff(map[string][]uuid.UUID{"u": {third.ID}}, voters); err != nil || diff != "" {
		t.Errorf("votes that count (-want +got), %v:\n%s", err, diff)
	}
	expectCodes(t, mustCast(t, pool, castBatch("main", retraction(third))), pgledger.CastOK)
	if diff := cmp.Diff(map[string]int64{"A": 0, "B": 0, "C": 0}, votesOf(t, pool, "main")); diff != "" {
		t.Errorf("votes (-want +got):\n%s", diff)
	}
	expectRecount(t, pool)
}
