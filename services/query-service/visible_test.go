package queryservice_test

import (
	"fmt"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/testenv"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"

	queryservice "github.com/littlevote/littlevote/services/query-service"
)

// aBallot is a statement that makes a ballot without tickets, with one vote for each voter.
func aBallot(name, state, visibility, more string) string {
	if more == "" {
		more = "NULL"
	}
	return fmt.Sprintf(`INSERT INTO ballots (ballot, state, visibility, closes_at, ticket_interval_ms, ticketless, votes_per_voter)
		VALUES ('%s', '%s', '%s', %s, 2000, true, 1)`, name, state, visibility, more)
}

var (
	nobody    = (*queryv1.Viewer)(nil)
	voted     = &queryv1.Viewer{Voter: "user:voted"}
	earlier   = &queryv1.Viewer{Voter: "user:earlier"}
	other     = &queryv1.Viewer{Voter: "user:other"}
	organiser = &queryv1.Viewer{Voter: "user:organiser", Organiser: true}
)

// sees asks by every way that shows counts, and reports whether they are shown; all ways must say the same.
func (w *world) sees(ballot string, viewer *queryv1.Viewer) bool {
	w.t.Helper()
	reads := []*queryv1.TallyRead{
		{Ballot: ballot, Viewer: viewer}, {Ballot: ballot, Viewer: viewer, Candidates: []string{"x"}}, {Ballot: ballot, Viewer: viewer, RightsOnly: true},
	}
	seen := 0
	for i, tally := range w.read(reads...) {
		switch tally.GetCode() {
		case statusv1.Code_CODE_OK:
			seen++
			if i == 2 && len(tally.GetCounts()) != 0 {
				w.t.Errorf("%s: a question for the right shows %v", ballot, tally)
			}
		case statusv1.Code_CODE_RESULTS_HIDDEN:
			if tally.GetCounts() != nil || tally.GetAsOf() != nil {
				w.t.Errorf("%s: hidden: %v", ballot, tally)
			}
		default:
			w.t.Errorf("%s: %v", ballot, tally)
		}
	}
	ranking, err := w.GetRanking(w.t.Context(), &queryv1.GetRankingRequest{Ballot: ballot, Viewer: viewer})
	detail, _ := service.Detail(err)
	switch {
	case err == nil:
		seen++
	case connect.CodeOf(err) != connect.CodePermissionDenied || detail.GetCode() != statusv1.Code_CODE_RESULTS_HIDDEN || ranking != nil:
		w.t.Errorf("%s: %v", ballot, err)
	}
	if seen != 0 && seen != 4 {
		w.t.Errorf("%s, %v: %d of 4 ways show counts", ballot, viewer, seen)
	}
	return seen == 4
}

func TestWhoMaySeeCounts(t *testing.T) {
	past, future := "now() - interval '1 second'", "now() + interval '1 hour'"
	w := newWorld(t, testenv.Redis(t), func(*queryservice.Config) {},
		aBallot("always", "open", "always", ""), aBallot("av", "open", "after_vote", ""), aBallot("av-closed", "closed", "after_vote", ""),
		aBallot("av-over", "open", "after_vote", past), aBallot("ac", "open", "after_close", ""), aBallot("ac-paused", "paused", "after_close", future),
		aBallot("ac-closed", "closed", "after_close", ""), aBallot("ac-over", "open", "after_close", past), aBallot("ac-certified", "certified", "after_close", future),
		aBallot("acme.never", "open", "never", ""), aBallot("never-over", "closed", "never", past), aBallot("never-certified", "certified", "never", ""),
		aBallot("ac-draft", "draft", "after_close", ""), aBallot("draft", "draft", "always", ""),
		"INSERT INTO voter_votes (ballot, voter, vote_id, retracted) SELECT ballot, 'user:earlier', gen_random_uuid(), false FROM ballots",
		"INSERT INTO user_votes SELECT ballot, 'A', 1, 1, now() FROM ballots",
	)
	for _, ballot := range []string{"always", "av", "ac", "acme.never"} {
		w.vote(ballot, voted.GetVoter(), "x")
	}
	everybody := []*queryv1.Viewer{nobody, voted, earlier, other, organiser}
	for ballot, may := range map[string][]*queryv1.Viewer{
		"always": everybody, "av": {voted, earlier}, "av-closed": everybody, "av-over": everybody,
		"ac": nil, "ac-paused": nil, "ac-closed": everybody, "ac-over": everybody, "ac-certified": everybody,
		"acme.never": nil, "never-over": nil, "never-certified": {organiser}, "ac-draft": nil, "draft": everybody,
	} {
		for _, viewer := range everybody {
			want := false
			for _, one := range may {
				want = want || one == viewer
			}
			if got := w.sees(ballot, viewer); got != want {
				t.Errorf("%s, %v: %v", ballot, viewer, got)
			}
		}
	}
	// The right comes with a vote, at once, and goes with its retraction.
	id := w.vote("av", other.GetVoter(), "y")
	if !w.sees("av", other) {
		t.Error("a voter does not see the counts")
	}
	w.retract("av", other.GetVoter(), "y", id)
	if w.sees("av", other) {
		t.Error("who has taken the vote back sees the counts")
	}
	// What somebody hidden asks for does not keep others of the same call from their counts.
	got := w.read(&queryv1.TallyRead{Ballot: "ac"}, &queryv1.TallyRead{}, &queryv1.TallyRead{Ballot: "av", Viewer: voted})
	if got[0].GetCode() != statusv1.Code_CODE_RESULTS_HIDDEN || len(got[1].GetCounts()) != 26 || votes(got[2])["x"] != 1 {
		t.Errorf("%v", got)
	}
}

// A row of the directory that is a moment old never shows what a newer one hides, and a ballot made a moment ago is there, also for
// who was told before that there is none.
func TestOldRowsShowNothingThatIsHidden(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(cfg *queryservice.Config) { cfg.Participant.Heartbeat = time.Second },
		aBallot("draft", "draft", "always", ""), aBallot("late", "open", "after_close", "now() + interval '700 milliseconds'"),
		"INSERT INTO user_votes VALUES ('draft', 'x', 3, 3, now()), ('late', 'x', 3, 3, now())")
	w.exec("UPDATE ballots SET closes_at = now() + interval '1 hour', rules_version = 2 WHERE ballot = 'late'")
	if !w.sees("draft", nobody) {
		t.Error("a draft that shows its counts does not")
	}
	w.exec("UPDATE ballots SET visibility = 'never', state = 'open', rules_version = 2 WHERE ballot = 'draft'")
	if w.sees("draft", nobody) {
		t.Error("what was hidden in the draft is shown")
	}
	for began := time.Now(); time.Since(began) < time.Second; {
		if w.sees("late", nobody) {
			t.Fatal("counts are shown at a closing time that was put off")
		}
	}
	for i, ballot := range []string{"acme.new", "new"} {
		if code := w.read(&queryv1.TallyRead{Ballot: ballot})[0].GetCode(); code != statusv1.Code_CODE_BALLOT_NOT_FOUND {
			t.Errorf("%v", code)
		}
		w.exec(aBallot(ballot, "open", []string{"always", "never"}[i], ""))
		if w.sees(ballot, nobody) != (i == 0) {
			t.Errorf("%s is not known as it is", ballot)
		}
	}
}

// Votes for a candidate that was added to a closed list a moment ago are seen, by all who ask and in whatever way.
func TestVotesForACandidateThatWasJustAdded(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(cfg *queryservice.Config) { cfg.Participant.Heartbeat = time.Second },
		`INSERT INTO ballots (ballot, visibility, ticket_interval_ms, ticketless, votes_per_voter, limit_scope, candidates)
			VALUES ('each', 'after_vote', 2000, true, 1, 'candidate', '{x}')`)
	for n, ask := range map[string]func(name string) int64{
		"all": func(name string) int64 { return votes(w.read(&queryv1.TallyRead{})[0])[name] },
		"named": func(name string) int64 {
			return votes(w.read(&queryv1.TallyRead{Candidates: []string{"A", name}})[0])[name]
		},
		"ranked": func(name string) int64 {
			response, err := w.GetRanking(t.Context(), &queryv1.GetRankingRequest{})
			if first := response.GetRanks(); err == nil && first[0].GetCount().GetCandidate() == name {
				return first[0].GetCount().GetVotes()
			}
			return 0
		},
	} {
		w.exec("UPDATE ballots SET candidates = candidates || $1::text, rules_version = rules_version + 1 WHERE ballot = 'main'", n)
		w.count("main", n, 3)
		if got := ask(n); got != 3 {
			t.Errorf("%s: %d votes, want 3", n, got)
		}
		w.count("main", n, -3)
	}
	if got := len(w.read(&queryv1.TallyRead{})[0].GetCounts()); got != 29 {
		t.Errorf("%d candidates", got)
	}
	w.exec("UPDATE ballots SET candidates = '{x,y}', rules_version = 2 WHERE ballot = 'each'")
	w.vote("each", voted.GetVoter(), "y")
	if !w.sees("each", voted) || w.sees("each", other) {
		t.Error("who has voted for the new one sees the counts, and nobody else")
	}
}

// The clock of the store that was read says when a ballot is over, be it Redis or Postgres.
func TestCountsAreShownOnceTheBallotIsOver(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(*queryservice.Config) {},
		aBallot("ac", "open", "after_close", ""), aBallot("av", "open", "after_vote", ""))
	w.vote("ac", voted.GetVoter(), "x")
	w.vote("av", voted.GetVoter(), "x")
	w.exec(aBallot("ac-postgres", "open", "after_close", "")) // no epoch in Redis knows it
	var closes time.Time
	if err := w.pool.QueryRow(t.Context(), `
		WITH u AS (UPDATE ballots SET closes_at = now() + interval '300 milliseconds' WHERE ballot LIKE 'a%' RETURNING closes_at)
		SELECT max(closes_at) FROM u`).Scan(&closes); err != nil {
		t.Fatal(err)
	}
	hidden := 0
	for ballot, source := range map[string]queryv1.Source{
		"ac": queryv1.Source_SOURCE_REDIS, "av": queryv1.Source_SOURCE_REDIS, "ac-postgres": queryv1.Source_SOURCE_POSTGRES_PRIMARY,
	} {
		testenv.Eventually(t, 10*time.Second, func() error {
			tally := w.read(&queryv1.TallyRead{Ballot: ballot})[0]
			if tally.GetCode() != statusv1.Code_CODE_OK {
				hidden++
				return fmt.Errorf("%v", tally)
			}
			if asOf := tally.GetAsOf().AsTime(); asOf.Before(closes.Truncate(time.Millisecond)) || tally.GetSource() != source {
				t.Errorf("%s is shown as of %v, and closes at %v: %v", ballot, asOf, closes, tally)
			}
			return nil
		})
	}
	if hidden == 0 {
		t.Error("nothing was hidden before")
	}
}

// While a ballot's rules, or who has voted, can't be looked up, nothing is shown that may be hidden, and nobody else waits.
func TestRightsThatCanNotBeLookedUp(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(*queryservice.Config) {}, aBallot("draft", "draft", "always", ""), aBallot("av", "open", "after_vote", ""))
	w.exec("ALTER TABLE voter_votes RENAME TO gone")
	if got := w.read(&queryv1.TallyRead{Ballot: "av", Viewer: other}, &queryv1.TallyRead{}); got[0].GetCode() == statusv1.Code_CODE_OK || got[1].GetCode() != statusv1.Code_CODE_OK {
		t.Errorf("%v", got)
	}
	w.exec("ALTER TABLE ballots RENAME TO gone_too")
	got := w.read(&queryv1.TallyRead{Ballot: "draft"}, &queryv1.TallyRead{Ballot: "unknown"}, &queryv1.TallyRead{})
	if got[0].GetCode() != statusv1.Code_CODE_UNAVAILABLE || got[1].GetCode() != statusv1.Code_CODE_UNAVAILABLE || got[2].GetCode() != statusv1.Code_CODE_OK {
		t.Errorf("%v", got)
	}
	_, err := w.GetRanking(t.Context(), &queryv1.GetRankingRequest{Ballot: "draft"})
	if detail, _ := service.Detail(err); connect.CodeOf(err) != connect.CodeUnavailable || !detail.GetRetryable() {
		t.Errorf("%v", err)
	}
}
