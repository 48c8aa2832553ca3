package voteservice_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/littlevote/littlevote/libs/embedded"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/libs/ticket"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

func TestVoteIsLoggedCountedAndAnswered(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	ref := w.mint("main", 100, time.Hour)
	v := s.cast(t, vote(ref, "A", "B", "A"))[0]
	wantCounted(t, v)
	want := []*votev1.Total{{Candidate: "A", Votes: 1}, {Candidate: "B", Votes: 1}, {Candidate: "A", Votes: 2}}
	if diff := cmp.Diff(want, v.GetTotals(), protocmp.Transform()); diff != "" {
		t.Fatal(diff)
	}
	if id, err := uuid.Parse(v.GetVoteId()); err != nil || id.Version() != 7 || v.GetAdmissionNumber() != 1 || v.GetToken() == "" {
		t.Fatalf("%v", v)
	}
	if w.live("main", "A") != 2 || w.left("main") != 99 {
		t.Fatalf("A has %d, %d uses left: one use per request, not per candidate", w.live("main", "A"), w.left("main"))
	}
	b := w.logged(1)[0]
	if b.GetTicketVersion() != ref.GetVersion() || b.GetEpoch() != w.fence().Epoch {
		t.Fatalf("record: %v", b)
	}
}

// S32, G4: under saturation exactly the cap is counted.
func TestCapUnderSaturation(t *testing.T) {
	w := newWorld(t)
	one, two := w.start(), w.start()
	ref := w.mint("main", 100, time.Hour)
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		results = map[statusv1.Code]int{}
	)
	for g := range 20 {
		s := one
		if g%2 == 1 {
			s = two
		}
		wg.Go(func() {
			for range 10 {
				v := s.cast(t, vote(ref, "A"), vote(nil, "A"))
				mu.Lock()
				results[v[0].GetCode()]++
				results[v[1].GetCode()]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	want := map[statusv1.Code]int{statusv1.Code_CODE_OK: 100, statusv1.Code_CODE_TICKET_EXHAUSTED: 300}
	if diff := cmp.Diff(want, results); diff != "" {
		t.Fatal(diff)
	}
	if got := w.live("main", "A"); got != 100 {
		t.Fatalf("A has %d", got)
	}
	seen := map[int64]bool{}
	for _, b := range w.logged(100) {
		for i := range b.GetVotes() {
			seen[b.GetFirstAdmissionNumber()+int64(i)] = true
		}
	}
	for n := range int64(100) {
		if !seen[n+1] {
			t.Fatalf("admission number %d is missing", n+1)
		}
	}
}

// Running totals: every success of one candidate has a total of its own, and the last is the count.
func TestTotalsAreExact(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	w.mint("main", redisledger.NoCap, time.Hour)
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		seen = map[int64]int{}
	)
	for range 8 {
		wg.Go(func() {
			for range 25 {
				v := s.cast(t, vote(nil, "Q"))[0]
				mu.Lock()
				seen[v.GetTotals()[0].GetVotes()]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for n := range int64(200) {
		if seen[n+1] != 1 {
			t.Fatalf("total %d was told %d times", n+1, seen[n+1])
		}
	}
}

// The same key many times at once has one effect, and every answer says so.
func TestSameKeyManyTimesAtOnce(t *testing.T) {
	w := newWorld(t)
	instances := []*instance{w.start(), w.start()}
	w.mint("main", 1000, time.Hour)
	key := newKey()
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			text := key
			if i%3 == 0 {
				text = strings.ToUpper(key)
			}
			v := instances[i%2].cast(t, withKey(vote(nil, "A"), text))[0]
			if v.GetCode() != statusv1.Code_CODE_OK || v.GetVoteId() != key || v.GetTotals()[0].GetVotes() != 1 {
				t.Errorf("%v", v)
			}
		})
	}
	wg.Wait()
	if w.live("main", "A") != 1 || w.left("main") != 999 {
		t.Fatalf("A has %d, %d uses left", w.live("main", "A"), w.left("main"))
	}
	wantCode(t, instances[0].cast(t, withKey(vote(nil, "B"), key))[0],
		statusv1.Code_CODE_KEY_REUSED, statusv1.Outcome_OUTCOME_NONE)
	again := withKey(vote(nil, "A"), key)
	again.VoterLabel = "somebody else"
	wantCode(t, instances[1].cast(t, again)[0], statusv1.Code_CODE_KEY_REUSED, statusv1.Outcome_OUTCOME_NONE)
}

// The order and repetition of candidates do not make another body, and the same key twice in one call is one vote.
func TestKeyMatchesByBody(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	w.mint("main", 10, time.Hour)
	key := newKey()
	same := vote(nil, "B")
	same.Choices = append(same.Choices, &votev1.Choice{Candidate: "A", Count: 2})
	for i, v := range s.cast(t, withKey(vote(nil, "A", "B", "A"), key), withKey(same, key)) {
		if v.GetCode() != statusv1.Code_CODE_OK {
			t.Fatalf("verdict %d: %v", i, v)
		}
	}
	if w.live("main", "A") != 2 || w.left("main") != 9 {
		t.Fatalf("A has %d, %d left", w.live("main", "A"), w.left("main"))
	}
}

// A key that Redis can't judge is looked up in Postgres.
func TestKeyOfTheLedger(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	ref := w.mint("main", 10, time.Hour)
	used, fresh := uuid.New(), uuid.New()
	verdict := s.cast(t, withKey(vote(ref, "A"), used.String()))[0]
	wantCode(t, verdict, statusv1.Code_CODE_OUTCOME_UNKNOWN, statusv1.Outcome_OUTCOME_UNKNOWN) // no persister was ever here
	w.caughtUp()
	wantCounted(t, s.cast(t, withKey(vote(ref, "A"), used.String()))[0])
	w.apply(w.logged(1)...)
	before := w.fence()
	if err := w.ledger.Unlink(t.Context(), before.NS); err != nil { // Redis forgets everything: a new epoch
		t.Fatal(err)
	}
	testenv.Eventually(t, 20*time.Second, func() error {
		if f := w.fence(); f.Epoch != before.Epoch+1 {
			return fmt.Errorf("epoch %d", f.Epoch)
		}
		return nil
	})
	w.mint("main", 10, time.Hour)
	w.caughtUp()
	testenv.Eventually(t, 20*time.Second, func() error {
		v := s.cast(t, withKey(vote(nil, "A"), used.String()))[0]
		if v.GetCode() != statusv1.Code_CODE_OK {
			return fmt.Errorf("%v", v)
		}
		return nil
	})
	wantCode(t, s.cast(t, withKey(vote(nil, "B"), used.String()))[0], statusv1.Code_CODE_KEY_REUSED, statusv1.Outcome_OUTCOME_NONE)
	wantCounted(t, s.cast(t, withKey(vote(nil, "A"), fresh.String()))[0])
	if got := w.live("main", "A"); got != 2 {
		t.Fatalf("A has %d: one before the new epoch, one in it", got)
	}
}

// caughtUp says what a persister with nothing to do says.
func (w *world) caughtUp() {
	w.t.Helper()
	_, err := w.pool.Exec(w.t.Context(), `
		INSERT INTO offsets (topic_id, partition, next, caught_up_at) SELECT gen_random_uuid(), 0, 0, now()
		WHERE NOT EXISTS (SELECT FROM offsets)`)
	if err == nil {
		_, err = w.pool.Exec(w.t.Context(), "UPDATE offsets SET caught_up_at = now()")
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// apply does a persister's work on batches, and says that every partition is applied to its end.
func (w *world) apply(batches ...*eventv1.VoteBatch) {
	w.t.Helper()
	var b pgledger.Batch
	for _, e := range batches {
		b.Events = append(b.Events, pgledger.Event{VoteBatch: e})
	}
	if _, err := pgledger.Apply(w.t.Context(), w.pool, b); err != nil {
		w.t.Fatal(err)
	}
	id, ends := w.ends()
	for p, end := range ends {
		_, err := w.pool.Exec(w.t.Context(), "INSERT INTO offsets VALUES ($1, $2, $3, now())", id, p, end)
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

func TestBadInputIsRefusedAndBurnsNothing(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	ref := w.mint("main", 10, time.Hour)
	w.mint("cast", 10, time.Hour)
	good := vote(ref, "A")
	edit := func(f func(v *votev1.Vote)) *votev1.Vote {
		v := proto.CloneOf(good)
		f(v)
		return v
	}
	choices := func(c ...*votev1.Choice) *votev1.Vote { return edit(func(v *votev1.Vote) { v.Choices = c }) }
	named := func(n string) *votev1.Vote { return choices(&votev1.Choice{Candidate: n, Count: 1}) }
	count := func(n int64) *votev1.Vote { return choices(&votev1.Choice{Candidate: "A", Count: n}) }
	onCast := func(n string) *votev1.Vote {
		return &votev1.Vote{
			Ballot: "cast", Permit: &votev1.Vote_NewestTicket{NewestTicket: true},
			Choices: []*votev1.Choice{{Candidate: n, Count: 1}},
		}
	}
	ticketed := func(value, version string) *votev1.Vote {
		return edit(func(v *votev1.Vote) {
			v.Permit = &votev1.Vote_Ticket{Ticket: &votev1.TicketRef{Value: value, Version: version}}
		})
	}
	other, err := ticket.NewKeys([]byte(strings.Repeat("x", 32)))
	if err != nil {
		t.Fatal(err)
	}
	forged := other.Mint(ticket.Claims{Ballot: "main", Epoch: 1, Number: 1, IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)})
	many := make([]*votev1.Choice, 65)
	for i := range many {
		many[i] = &votev1.Choice{Candidate: "A", Count: 1}
	}
	const (
		badArgument = statusv1.Code_CODE_INVALID_ARGUMENT
		badTicket   = statusv1.Code_CODE_TICKET_INVALID
	)
	for name, c := range map[string]struct {
		vote *votev1.Vote
		code statusv1.Code
	}{
		"no choices":           {choices(), badArgument},
		"65 choices":           {choices(many...), badArgument},
		"empty name":           {named(""), badArgument},
		"lower case":           {named("a"), badArgument},
		"two letters":          {named("AA"), badArgument},
		"trailing space":       {named("A "), badArgument},
		"full width":           {named("Ａ"), badArgument},
		"Cyrillic":             {named("А"), badArgument},
		"zero width":           {named("A\u200b"), badArgument},
		"NUL":                  {named("A\x00"), badArgument},
		"1 MB":                 {named(strings.Repeat("A", 1<<20)), badArgument},
		"one good and one bad": {choices(&votev1.Choice{Candidate: "A", Count: 1}, &votev1.Choice{Candidate: "a", Count: 1}), badArgument},
		"count 0":              {count(0), badArgument},
		"count -1":             {count(-1), badArgument},
		"count 2^31":           {count(math.MaxInt32 + 1), badArgument},
		"open: empty":          {onCast(""), badArgument},
		"open: space":          {onCast(" x"), badArgument},
		"open: newline":        {onCast("x\ny"), badArgument},
		"open: right to left":  {onCast("x\u202ey"), badArgument},
		"open: decomposed":     {onCast("e\u0301"), badArgument},
		"open: 129 bytes":      {onCast(strings.Repeat("x", 129)), badArgument},
		"no permit":            {edit(func(v *votev1.Vote) { v.Permit = nil }), badArgument},
		"newest_ticket false":  {edit(func(v *votev1.Vote) { v.Permit = &votev1.Vote_NewestTicket{} }), badArgument},
		"ticket empty":         {ticketed("", ""), badTicket},
		"ticket garbage":       {ticketed("garbage", ""), badTicket},
		"ticket 1 MB":          {ticketed(strings.Repeat("A", 1<<20), ""), badTicket},
		"ticket with newline":  {ticketed(ref.GetValue()+"\n", ""), badTicket},
		"ticket upper case":    {ticketed(strings.ToUpper(ref.GetValue()), ""), badTicket},
		"ticket forged":        {ticketed(forged, ""), badTicket},
		"wrong version":        {ticketed(ref.GetValue(), "1.2.0"), badTicket},
		"ticket of main":       {edit(func(v *votev1.Vote) { v.Ballot = "cast" }), badTicket},
		"no such ballot":       {edit(func(v *votev1.Vote) { v.Ballot = "nobody" }), statusv1.Code_CODE_BALLOT_NOT_FOUND},
		"ballot injection":     {edit(func(v *votev1.Vote) { v.Ballot = "{main}:*" }), statusv1.Code_CODE_BALLOT_NOT_FOUND},
		"key short":            {withKey(proto.CloneOf(good), "abc"), badArgument},
		"key in braces":        {withKey(proto.CloneOf(good), "{"+newKey()+"}"), badArgument},
		"key without hyphens":  {withKey(proto.CloneOf(good), strings.ReplaceAll(newKey(), "-", "")), badArgument},
		"key 10 KB":            {withKey(proto.CloneOf(good), strings.Repeat("a", 10_000)), badArgument},
		"voter 129 bytes":      {edit(func(v *votev1.Vote) { v.VoterLabel = strings.Repeat("x", 129) }), badArgument},
		"vote id garbage":      {edit(func(v *votev1.Vote) { v.VoteId = "x" }), badArgument},
	} {
		t.Run(name, func(t *testing.T) {
			v := s.cast(t, c.vote)[0]
			wantCode(t, v, c.code, statusv1.Outcome_OUTCOME_NONE)
			if v.GetDetail() == "" || len(v.GetDetail()) > 200 {
				t.Fatalf("detail of %d bytes", len(v.GetDetail()))
			}
		})
	}
	if w.left("main") != 10 || w.left("cast") != 10 || w.live("main", "A") != 0 {
		t.Fatalf("%d and %d uses left, A has %d", w.left("main"), w.left("cast"), w.live("main", "A"))
	}
	wantCounted(t, s.cast(t, good)[0])
}

func TestCallBounds(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	for _, n := range []int{0, 1001} {
		votes := make([]*votev1.Vote, n)
		for i := range votes {
			votes[i] = vote(nil, "A")
		}
		_, err := s.CastVotes(t.Context(), &votev1.CastVotesRequest{Votes: votes})
		if connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Fatalf("%d votes: %v", n, err)
		}
	}
}

func TestOpenBallotTakesAnyName(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	w.mint("cast", 100, time.Hour)
	for _, name := range []string{"alice", "Ünal", "张伟", "' OR 1=1", "__proto__", "redis.call('FLUSHALL')", "{cast}:*"} {
		v := vote(nil, name)
		v.Ballot = "cast"
		for want := range int64(2) { // new, then known
			verdict := s.cast(t, v)[0]
			wantCounted(t, verdict)
			if got := verdict.GetTotals()[0].GetVotes(); got != want+1 {
				t.Fatalf("%s has %d", name, got)
			}
		}
	}
}

// S33: a ticket whose time is over admits nothing.
func TestExpiredTicket(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	first := w.mint("main", 100, 100*time.Millisecond)
	var second *votev1.TicketRef
	wait := func() {
		testenv.Eventually(t, 5*time.Second, func() error {
			if state, err := w.ledger.Ticket(t.Context(), w.fence(), "main"); err != nil || state.Usable() {
				return fmt.Errorf("still usable: %w", err)
			}
			return nil
		})
	}
	wait()
	wantCode(t, s.cast(t, vote(first, "A"))[0], statusv1.Code_CODE_TICKET_EXPIRED, statusv1.Outcome_OUTCOME_NONE)
	v := s.cast(t, vote(nil, "A"))[0]
	wantCode(t, v, statusv1.Code_CODE_TICKET_EXPIRED, statusv1.Outcome_OUTCOME_NONE)
	if !v.GetRetryable() {
		t.Fatal("whoever takes the newest may try again")
	}
	second = w.mint("main", 100, time.Hour)
	wantCode(t, s.cast(t, vote(first, "A"))[0], statusv1.Code_CODE_TICKET_SUPERSEDED, statusv1.Outcome_OUTCOME_NONE)
	wantCounted(t, s.cast(t, vote(second, "A"))[0])
}

// S25: while Kafka is away votes go to Postgres by the persister's own transaction.
func TestKafkaAway(t *testing.T) {
	w := newWorld(t)
	kafka, err := embedded.Kafka("")
	if err != nil {
		t.Fatal(err)
	}
	w.cfg.Kafka.Brokers = kafka.Brokers()
	w.cfg.Vote.ProduceTimeout = 200 * time.Millisecond
	s := w.start()
	w.mint("main", 100, time.Hour)
	wantCounted(t, s.cast(t, vote(nil, "A"))[0])
	if err := kafka.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range int64(10) {
		v := s.cast(t, vote(nil, "A"))[0]
		wantCounted(t, v)
		if got := v.GetTotals()[0].GetVotes(); got != i+2 {
			t.Fatalf("total %d, want %d", got, i+2)
		}
	}
	rows, err := pgledger.Tallies(t.Context(), w.pool, "main", []string{"A"})
	if err != nil || len(rows) != 1 || rows[0].Votes != 10 {
		t.Fatalf("%v %v: the ten votes after Kafka's end are in Postgres", rows, err)
	}
}

// With the log and the ledger away there is never a success; what certainly became nothing is given back.
func TestKafkaAndPostgresAway(t *testing.T) {
	w := newWorld(t)
	kafka, err := embedded.Kafka("")
	if err != nil {
		t.Fatal(err)
	}
	w.cfg.Kafka.Brokers = kafka.Brokers()
	w.cfg.Vote.ProduceTimeout = 200 * time.Millisecond
	w.cfg.Vote.Timeout = time.Second
	s := w.start()
	w.mint("main", 100, time.Hour)
	if err := kafka.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.pool.Exec(t.Context(), "ALTER TABLE applied_batches RENAME TO gone"); err != nil {
		t.Fatal(err)
	}
	codes := map[statusv1.Code]int{}
	for range 10 {
		v := s.cast(t, vote(nil, "A"))[0]
		codes[v.GetCode()]++
		want := statusv1.Outcome_OUTCOME_UNKNOWN
		if v.GetCode() == statusv1.Code_CODE_UNAVAILABLE {
			want = statusv1.Outcome_OUTCOME_NONE
		}
		wantCode(t, v, v.GetCode(), want)
	}
	// Until the breaker opens a record may have been sent; from then on nothing was, and refunds are certain.
	if codes[statusv1.Code_CODE_OK] != 0 || codes[statusv1.Code_CODE_UNAVAILABLE] == 0 {
		t.Fatalf("%v", codes)
	}
	if got, want := w.left("main"), int64(100-codes[statusv1.Code_CODE_OUTCOME_UNKNOWN]); got != want {
		t.Fatalf("%d uses left, want %d: each refusal gives its use back", got, want)
	}
	if got := w.live("main", "A"); got != 0 {
		t.Fatalf("A has %d", got)
	}
}

// A batch that its owner left in the outbox is finished by whoever is there.
func TestOutboxIsFinishedByAnotherInstance(t *testing.T) {
	w := newWorld(t)
	w.cfg.Vote.Timeout = 500 * time.Millisecond
	w.cfg.Vote.OutboxLease = time.Second
	s := w.start()
	w.mint("main", 10, time.Hour)
	id := uuid.Must(uuid.NewV7())
	key := uuid.Must(uuid.NewV7())
	event := &eventv1.VoteBatch{
		Format: 1, BatchId: id[:], Epoch: w.fence().Epoch, Ballot: "main", Candidates: []string{"A"},
		Votes: []*eventv1.VoteEvent{
			{VoteId: key[:], Candidates: []uint32{0}, Deltas: []int64{1}},
			{VoteId: key[:], Candidates: []uint32{0}, Deltas: []int64{3}},
		},
	}
	payload, err := proto.Marshal(&eventv1.OutboxBatch{Batch: event, GroupSizes: []uint32{2}})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := w.ledger.Admit(t.Context(), w.fence(), &redisledger.Batch{
		ID: id, Ballot: "main", Payload: payload, Tickets: []string{""}, Groups: []redisledger.Group{{Votes: 2}},
	}, 10, nil)
	if a.Err != nil || a.Verdict.Accepted() != 2 {
		t.Fatalf("%+v", a)
	}
	testenv.Eventually(t, 20*time.Second, func() error {
		if got := w.live("main", "A"); got != 4 {
			return fmt.Errorf("A has %d", got)
		}
		return nil
	})
	if b := w.logged(2)[0]; b.GetAdmittedAtMs() != a.Verdict.At.UnixMilli() || b.GetFirstAdmissionNumber() != 1 {
		t.Fatalf("record: %v", b)
	}
	wantCounted(t, s.cast(t, vote(nil, "A"))[0])
}

// A full queue refuses at once, and says so as something to try again.
func TestOverload(t *testing.T) {
	w := newWorld(t)
	w.cfg.Vote.Queue = 5
	w.cfg.Vote.BatchVotes = 1
	w.cfg.Vote.Workers = 1
	s := w.start()
	w.mint("main", redisledger.NoCap, time.Hour)
	votes := make([]*votev1.Vote, 500)
	for i := range votes {
		votes[i] = vote(nil, "A")
	}
	counted := int64(0)
	for _, v := range s.cast(t, votes...) {
		if v.GetCode() == statusv1.Code_CODE_OK {
			counted++
			continue
		}
		wantCode(t, v, statusv1.Code_CODE_OVERLOADED, statusv1.Outcome_OUTCOME_NONE)
		if !v.GetRetryable() || v.GetRetryAfter().AsDuration() <= 0 {
			t.Fatalf("%v", v)
		}
	}
	if counted == 0 || counted == 500 {
		t.Fatalf("%d of 500 counted: the queue has no bound, or no room", counted)
	}
	if got := w.live("main", "A"); got != counted {
		t.Fatalf("A has %d, %d were told that they count", got, counted)
	}
}

// A stop answers what was taken in, and the next instance needs no new epoch.
func TestStopDrainsAndLeavesTheEpochOpen(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	w.mint("main", redisledger.NoCap, time.Hour)
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		counted int64
	)
	first := make(chan struct{}, 1000)
	for range 8 {
		wg.Go(func() {
			for {
				resp, err := s.CastVotes(context.WithoutCancel(t.Context()), &votev1.CastVotesRequest{Votes: []*votev1.Vote{vote(nil, "A")}})
				if err != nil {
					return // the port is closed
				}
				v := resp.GetVerdicts()[0]
				switch v.GetOutcome() {
				case statusv1.Outcome_OUTCOME_COUNTED:
					mu.Lock()
					counted++
					mu.Unlock()
					select {
					case first <- struct{}{}:
					default:
					}
				case statusv1.Outcome_OUTCOME_UNKNOWN:
					t.Errorf("a stop left a vote unknown: %v", v)
				}
			}
		})
	}
	<-first
	s.stop()
	wg.Wait()
	if got := w.live("main", "A"); got != counted {
		t.Fatalf("A has %d, %d were told that they count", got, counted)
	}
	before := w.fence()
	next := w.start()
	wantCounted(t, next.cast(t, vote(nil, "A"))[0])
	if after := w.fence(); after != before {
		t.Fatalf("a restart changed the epoch from %+v to %+v", before, after)
	}
}
