package queryservice_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"

	queryservice "github.com/littlevote/littlevote/services/query-service"
)

// likes makes a ballot of items: hot for 30 days, one vote of a voter for each.
const likes = `INSERT INTO ballots (ballot, ticket_interval_ms, ticketless, votes_per_voter, limit_scope, hot_for_ms, candidate_pattern)
	VALUES ('acme.likes', 2000, true, 1, 'candidate', 30 * 86400000::bigint, '[A-Za-z0-9_:-]{1,64}')`

// liked puts a vote from before the epoch into Postgres.
func liked(voter, item string, ago time.Duration) string {
	return fmt.Sprintf(`INSERT INTO voter_votes (ballot, voter, vote_id, retracted, candidate, voted_at)
		VALUES ('acme.likes', '%s', '%s', false, '%s', now() - interval '%d seconds')`, voter, uuid.Must(uuid.NewV7()), item, int(ago.Seconds()))
}

// items are of a month ago and a day, and of a moment ago.
func items() (cold, hot string) {
	return redisledger.ItemID(time.Now().Add(-31 * 24 * time.Hour)), redisledger.ItemID(time.Now().Add(-time.Minute))
}

func (w *world) voted(voter string, items ...string) ([]bool, error) {
	resp, err := w.GetVoted(w.t.Context(), &queryv1.GetVotedRequest{Ballot: "acme.likes", Voter: voter, Candidates: items})
	return resp.GetVoted(), err
}

// wantVoted checks what a voter likes.
func (w *world) wantVoted(want []bool, voter string, items ...string) {
	w.t.Helper()
	got, err := w.voted(voter, items...)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		w.t.Errorf("%s %v: %v %s", voter, items, err, diff)
	}
}

// S61, S62, S84: of hot items Redis knows each like, and that there is none; no database is asked. Older ones are looked up
// there, and what this epoch has changed Redis knows of those too.
func TestS61S62S84WhoLikesWhat(t *testing.T) {
	cold, hot := items()
	named, other := "post:7", hot[:15]+fmt.Sprint((hot[15]-'0'+1)%10)
	w := newWorld(t, testenv.Redis(t), func(*queryservice.Config) {}, likes,
		liked("user:1", hot, time.Minute), liked("user:1", cold, time.Hour), liked("user:1", named, time.Hour),
		"INSERT INTO user_votes VALUES ('acme.likes', 'post:7', 1, 1, now())")
	w.exec("ALTER TABLE voter_votes RENAME TO gone") // nobody may ask
	w.wantVoted([]bool{true, false, true}, "user:1", hot, other, hot)
	w.wantVoted([]bool{false}, "user:2", hot)
	id := w.vote("acme.likes", "user:2", hot)
	w.wantVoted([]bool{true, false}, "user:2", hot, other)
	w.retract("acme.likes", "user:2", hot, id)
	w.wantVoted([]bool{false}, "user:2", hot)
	if n := w.metrics()["littlevote_query_voted_cold_total{}"]; n != 0 {
		t.Errorf("Postgres was asked about %v", n)
	}
	if _, err := w.voted("user:1", hot, cold); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("a cold item without Postgres: %v", err)
	}
	w.exec("ALTER TABLE gone RENAME TO voter_votes")
	w.wantVoted([]bool{true, true, false, true}, "user:1", cold, hot, other, named)
	w.wantVoted([]bool{false, false}, "user:2", cold, named)
	id = w.vote("acme.likes", "user:2", cold) // it is not in Postgres yet
	w.wantVoted([]bool{true, false}, "user:2", cold, named)
	w.retract("acme.likes", "user:2", cold, id)
	w.wantVoted([]bool{false}, "user:2", cold)
	if n := w.metrics()["littlevote_query_voted_cold_total{}"]; n == 0 {
		t.Error("nobody asked Postgres about cold items")
	}
	// While votes are decided in Postgres it knows all, and nobody asks Redis.
	w.exec("UPDATE ledger_epoch SET held = true")
	w.awaitSource(queryv1.Source_SOURCE_POSTGRES_PRIMARY)
	w.exec(liked("user:3", hot, 0))
	testenv.Eventually(t, 20*time.Second, func() error {
		got, err := w.voted("user:3", hot, cold)
		if err == nil && (!got[0] || got[1]) {
			t.Fatalf("%v", got)
		}
		return err
	})
}

func TestQuestionsAboutVotersThatAreNone(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(*queryservice.Config) {}, likes)
	good := func() *queryv1.GetVotedRequest {
		return &queryv1.GetVotedRequest{Ballot: "acme.likes", Voter: "user:1", Candidates: []string{"a"}}
	}
	for name, test := range map[string]struct {
		change func(*queryv1.GetVotedRequest)
		want   connect.Code
	}{
		"no voter":        {func(r *queryv1.GetVotedRequest) { r.Voter = "" }, connect.CodeInvalidArgument},
		"a long voter":    {func(r *queryv1.GetVotedRequest) { r.Voter = strings.Repeat("v", 129) }, connect.CodeInvalidArgument},
		"a zero byte":     {func(r *queryv1.GetVotedRequest) { r.Voter = "a\x00b" }, connect.CodeInvalidArgument},
		"no candidates":   {func(r *queryv1.GetVotedRequest) { r.Candidates = nil }, connect.CodeInvalidArgument},
		"1001 candidates": {func(r *queryv1.GetVotedRequest) { r.Candidates = make([]string, 1001) }, connect.CodeInvalidArgument},
		"an empty one":    {func(r *queryv1.GetVotedRequest) { r.Candidates = []string{"a", ""} }, connect.CodeInvalidArgument},
		"no ballot":       {func(r *queryv1.GetVotedRequest) { r.Ballot = "acme.none" }, connect.CodeNotFound},
		"another ballot":  {func(r *queryv1.GetVotedRequest) { r.Ballot = "main"; r.Candidates = []string{"A"} }, connect.CodeFailedPrecondition},
	} {
		req := good()
		test.change(req)
		if _, err := w.GetVoted(t.Context(), req); connect.CodeOf(err) != test.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, test := range map[string]struct {
		req  *queryv1.ListVotesRequest
		want connect.Code
	}{
		"neither":          {&queryv1.ListVotesRequest{Ballot: "acme.likes"}, connect.CodeInvalidArgument},
		"both":             {&queryv1.ListVotesRequest{Ballot: "acme.likes", Voter: "v", Candidate: "c"}, connect.CodeInvalidArgument},
		"a large page":     {&queryv1.ListVotesRequest{Ballot: "acme.likes", Voter: "v", PageSize: 1001}, connect.CodeInvalidArgument},
		"no cursor":        {&queryv1.ListVotesRequest{Ballot: "acme.likes", Voter: "v", After: "x"}, connect.CodeInvalidArgument},
		"no token":         {&queryv1.ListVotesRequest{Ballot: "acme.likes", Voter: "v", AtLeast: "x"}, connect.CodeInvalidArgument},
		"a zero byte":      {&queryv1.ListVotesRequest{Ballot: "acme.likes", Voter: "\x00"}, connect.CodeInvalidArgument},
		"a long candidate": {&queryv1.ListVotesRequest{Ballot: "acme.likes", Candidate: strings.Repeat("a", 257)}, connect.CodeInvalidArgument},
		"no such list":     {&queryv1.ListVotesRequest{Ballot: "cast", Candidate: "bob"}, connect.CodeFailedPrecondition},
		"no ballot":        {&queryv1.ListVotesRequest{Ballot: "none", Voter: "v"}, connect.CodeNotFound},
	} {
		if _, err := w.ListVotes(t.Context(), test.req); connect.CodeOf(err) != test.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func (w *world) listed(req *queryv1.ListVotesRequest) (names []string, next string) {
	w.t.Helper()
	resp, err := w.ListVotes(w.t.Context(), req)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, v := range resp.GetVotes() {
		if v.GetVoteId() == "" || v.GetVotedAt() == nil {
			w.t.Errorf("%v", v)
		}
		names = append(names, v.GetVoter()+" "+v.GetCandidate())
	}
	return names, resp.GetNext()
}

// S21, S72: lists come from the replica, and from the primary while that is away or has not seen a token's vote.
func TestS21S72ListsOfVotes(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(cfg *queryservice.Config) { cfg.Postgres.ReplicaURL = "postgres://x@127.0.0.1:1/x" }, likes,
		strings.Replace(likes, "acme.likes", "acme.hidden", 1), "UPDATE ballots SET visibility = 'after_close' WHERE ballot = 'acme.hidden'",
		liked("user:1", "a", 3*time.Second), liked("user:1", "b", 2*time.Second), liked("user:2", "a", time.Second), liked("user:1", "c", 0))
	names, next := w.listed(&queryv1.ListVotesRequest{Ballot: "acme.likes", Voter: "user:1", PageSize: 2})
	if diff := cmp.Diff([]string{"user:1 c", "user:1 b"}, names); diff != "" || next == "" {
		t.Error(diff, next)
	}
	names, next = w.listed(&queryv1.ListVotesRequest{Ballot: "acme.likes", Voter: "user:1", PageSize: 2, After: next})
	if diff := cmp.Diff([]string{"user:1 a"}, names); diff != "" || next != "" {
		t.Error(diff, next)
	}
	if names, _ = w.listed(&queryv1.ListVotesRequest{Ballot: "acme.likes", Candidate: "a"}); len(names) != 2 || names[0] != "user:2 a" {
		t.Error(names)
	}
	// Who voted for what is a count: hidden with the counts. What one voter voted for is for the caller to show to them alone.
	_, err := w.ListVotes(t.Context(), &queryv1.ListVotesRequest{Ballot: "acme.hidden", Candidate: "a"})
	if connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Errorf("%v", err)
	}
	w.listed(&queryv1.ListVotesRequest{Ballot: "acme.hidden", Voter: "user:1"})
}

func TestS21S72ListsNotOlderThanAVote(t *testing.T) {
	behind := &world{t: t, cfg: queryservice.DefaultConfig()}
	behind.cfg.Postgres.URL = testenv.Postgres(t)
	behind.migrate()
	behind.exec(likes)
	w := newWorld(t, testenv.Redis(t), func(cfg *queryservice.Config) { cfg.Postgres.ReplicaURL = behind.cfg.Postgres.URL }, likes)
	now := w.epoch().Epoch
	behind.exec("INSERT INTO ledger_epoch (epoch, mode, state, ns, replicated, reason) VALUES ($1, 'redis', 'open', '', false, '')", now)
	token := pgledger.Token{Epoch: now, Admission: 1, Batch: uuid.Must(uuid.NewV7())}
	req := &queryv1.ListVotesRequest{Ballot: "acme.likes", Voter: "user:1", AtLeast: token.String()}
	done := make(chan []string, 1)
	go func() {
		names, _ := w.listed(req)
		done <- names
	}()
	w.exec(liked("user:1", "a", 0))
	w.exec("INSERT INTO applied_batches (batch_id, epoch) VALUES ($1, $2)", token.Batch, now)
	if diff := cmp.Diff([]string{"user:1 a"}, <-done); diff != "" {
		t.Error(diff)
	}
	if names, _ := w.listed(&queryv1.ListVotesRequest{Ballot: "acme.likes", Voter: "user:1"}); len(names) != 0 {
		t.Errorf("without a token the replica answers, which has nothing: %v", names)
	}
}
