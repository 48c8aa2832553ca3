package voteservice_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

const (
	noVote    = statusv1.Code_CODE_VOTE_NOT_FOUND
	noLimit   = statusv1.Code_CODE_VOTER_LIMIT
	nothing   = statusv1.Outcome_OUTCOME_NONE
	wrongForm = statusv1.Code_CODE_INVALID_ARGUMENT
)

// makes has a ballot made by an organiser.
func (i *instance) makes(t *testing.T, b *ballotv1.Ballot) string {
	t.Helper()
	if _, err := i.ballots.CreateBallot(t.Context(), &ballotv1.CreateBallotRequest{Ballot: b, Actor: "cli:test"}); err != nil {
		t.Fatal(err)
	}
	return b.GetName()
}

// likes is a ballot on which each voter has one vote for each item.
func likes(name string) *ballotv1.Ballot {
	return &ballotv1.Ballot{
		Name: name, CandidatePattern: `[A-Za-z0-9_:-]{1,64}`, Ticketless: true, VotesPerVoter: 1,
		LimitScope: ballotv1.LimitScope_LIMIT_SCOPE_CANDIDATE, HotFor: durationpb.New(30 * 24 * time.Hour),
	}
}

// like is a vote that needs no ticket.
func like(voter, ballot, item string) *votev1.Vote {
	v := by(voter, ballot, item)
	v.Permit = nil
	return v
}

func (i *instance) unlike(t *testing.T, voter, ballot, item, key string) *votev1.Verdict {
	t.Helper()
	var verdict *votev1.Verdict
	testenv.Eventually(t, 20*time.Second, func() error {
		got, err := i.RetractVote(t.Context(), &votev1.RetractVoteRequest{
			Ballot: ballot, Voter: voter, Candidate: item, IdempotencyKey: key,
		})
		if err != nil {
			t.Fatal(err)
		}
		if verdict = got.GetVerdict(); refusedForNow(verdict) {
			return fmt.Errorf("%v", verdict)
		}
		return nil
	})
	return verdict
}

// A second like, and an unlike without a like, are definite refusals: of hot items and of others, in Redis and in Postgres,
// one right after the other and whichever instance is asked.
func TestS61ASecondLikeIsRefused(t *testing.T) {
	w := newWorld(t)
	a, b := w.start(), w.start()
	w.persist()
	ballot := a.makes(t, likes("acme.likes"))
	items := []string{redisledger.ItemID(time.Now()), "an-old-one"}
	round := func(first func(i *instance, v *votev1.Vote)) {
		t.Helper()
		for _, item := range items {
			first(a, like("ann", ballot, item))
			wantCode(t, b.cast(t, like("ann", ballot, item))[0], noLimit, nothing)
			wantCounted(t, b.cast(t, like("bob", ballot, item))[0])
			key := newKey()
			v := b.unlike(t, "ann", ballot, item, key)
			wantCounted(t, v)
			if got := v.GetTotals(); len(got) != 1 || got[0].GetVotes() != 1 {
				t.Errorf("%v after the unlike", got)
			}
			wantCounted(t, a.unlike(t, "ann", ballot, item, key)) // the same request again
			wantCode(t, a.unlike(t, "ann", ballot, item, ""), noVote, nothing)
			wantCode(t, a.unlike(t, "ann", ballot, item, newKey()), noVote, nothing)
			wantCode(t, a.unlike(t, "carl", ballot, item, ""), noVote, nothing)
			wantCounted(t, a.cast(t, like("ann", ballot, item))[0])
			wantCounted(t, a.unlike(t, "ann", ballot, item, key)) // and once more: it has had its effect
			wantCode(t, b.cast(t, like("ann", ballot, item))[0], noLimit, nothing)
			wantCounted(t, b.unlike(t, "ann", ballot, item, ""))
			wantCounted(t, a.unlike(t, "bob", ballot, item, ""))
		}
	}
	cast := func(i *instance, v *votev1.Vote) { t.Helper(); wantCounted(t, i.cast(t, v)[0]) }
	round(cast)
	wantCounted(t, a.cast(t, like("zoe", ballot, items[0]))[0])
	later := func(i *instance, v *votev1.Vote) {
		t.Helper()
		i.eventually(t, v)
		b.eventually(t, like("eve", ballot, newKey()))
	}
	w.hold()
	wantCode(t, a.cast(t, like("zoe", ballot, items[0]))[0], noLimit, nothing)
	wantCounted(t, a.unlike(t, "zoe", ballot, items[0], ""))
	round(later)
	wantCounted(t, a.cast(t, like("zoe", ballot, items[0]))[0])
	w.release()
	wantCode(t, a.cast(t, like("zoe", ballot, items[0]))[0], noLimit, nothing)
	wantCounted(t, a.unlike(t, "zoe", ballot, items[0], ""))
	round(later)
}

// Many likes of one voter at once, at two instances: one has an effect; and so with unlikes.
func TestS61OneOfManyLikesAtOnceCounts(t *testing.T) {
	w := newWorld(t)
	instances := []*instance{w.start(), w.start()}
	w.persist()
	ballot := instances[0].makes(t, likes("likes"))
	item := redisledger.ItemID(time.Now())
	atOnce := func(act func(i *instance) *votev1.Verdict, otherwise statusv1.Code) {
		t.Helper()
		var (
			wg      sync.WaitGroup
			mu      sync.Mutex
			counted int
		)
		for n := range 20 {
			wg.Go(func() {
				v := act(instances[n%2])
				for v.GetRetryable() && v.GetOutcome() == statusv1.Outcome_OUTCOME_NONE && t.Context().Err() == nil {
					v = act(instances[n%2]) // a busy machine may let the epoch end
				}
				mu.Lock()
				defer mu.Unlock()
				switch v.GetCode() {
				case statusv1.Code_CODE_OK:
					counted++
				case otherwise:
				default:
					t.Errorf("%v", v)
				}
			})
		}
		wg.Wait()
		if counted != 1 {
			t.Errorf("%d of 20 had an effect", counted)
		}
	}
	atOnce(func(i *instance) *votev1.Verdict { return i.cast(t, like("ann", ballot, item))[0] }, noLimit)
	atOnce(func(i *instance) *votev1.Verdict { return i.unlike(t, "ann", ballot, item, "") }, noVote)
	if n := w.live(ballot, item); n != 0 {
		t.Errorf("%d likes", n)
	}
}

// A ballot can be voted on when the call that made it has returned, through any instance; a draft when it is opened, by the
// rules that it is opened with.
func TestABallotIsVotedOnAsSoonAsItIsMade(t *testing.T) {
	w := newWorld(t)
	w.cfg.Participant.Heartbeat = 2 * time.Second // nobody reads the ballots meanwhile
	a, b := w.start(), w.start()
	for n := range 3 {
		ballot := a.makes(t, likes(fmt.Sprint("new-", n)))
		wantCounted(t, b.cast(t, like("ann", ballot, "x"))[0])
		wantCounted(t, a.cast(t, like("bob", ballot, "x"))[0])
	}
	draft := likes("draft")
	draft.State = ballotv1.BallotState_BALLOT_STATE_DRAFT
	ballot := a.makes(t, draft)
	const closed = statusv1.Code_CODE_BALLOT_CLOSED
	for _, i := range []*instance{a, b} {
		wantCode(t, i.cast(t, like("ann", ballot, "x"))[0], closed, nothing)
	}
	open := ballotv1.BallotState_BALLOT_STATE_OPEN
	if _, err := a.ballots.UpdateBallot(t.Context(), &ballotv1.UpdateBallotRequest{
		Name: ballot, Actor: "cli:test", State: &open, Rules: &ballotv1.DraftRules{
			CandidatePattern: "a|bc", Ticketless: true, VotesPerVoter: 2, Visibility: ballotv1.Visibility_VISIBILITY_AFTER_CLOSE,
		},
	}); err != nil {
		t.Fatal(err)
	}
	for _, i := range []*instance{b, a} {
		wantCode(t, i.cast(t, like("ann", ballot, "x"))[0], wrongForm, nothing)
		wantCode(t, i.cast(t, like("ann", ballot, "ac"))[0], wrongForm, nothing) // the pattern is of the whole name
		v := i.cast(t, like("ann", ballot, "bc"))[0]
		wantCounted(t, v)
		if len(v.GetTotals()) != 0 {
			t.Errorf("%v: nobody may see the counts", v)
		}
	}
	wantCode(t, a.cast(t, like("ann", ballot, "a"))[0], noLimit, nothing)
	wantCode(t, b.cast(t, like("ann", "nowhere", "x"))[0], statusv1.Code_CODE_BALLOT_NOT_FOUND, nothing)
}

// A change of mind is one act: the old choices go and the new ones come, and the vote counts as one throughout.
func TestAChangeOfMindIsOneAct(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	w.persist()
	ballot := s.makes(t, &ballotv1.Ballot{Name: "final", VotesPerVoter: 1, Candidates: []string{"x", "y", "z"}})
	wantCode(t, s.cast(t, by("ann", ballot, "x"))[0], statusv1.Code_CODE_TICKET_EXPIRED, nothing) // there is none yet
	w.mint(ballot, 100, time.Hour)
	counts := func() map[string]int64 {
		t.Helper()
		got := map[string]int64{}
		for _, name := range []string{"x", "y", "z"} {
			got[name] = w.live(ballot, name)
		}
		return got
	}
	instead := func(old *votev1.Verdict, voter string, names ...string) *votev1.Vote {
		v := vote(nil, names...)
		v.Ballot, v.Voter, v.Replaces = ballot, voter, old.GetVoteId()
		return v
	}
	first := s.cast(t, instead(nil, "ann", "x", "y"))[0]
	wantCounted(t, first)
	wantCode(t, s.cast(t, instead(first, "bob", "z"))[0], noVote, nothing)
	wantCode(t, s.cast(t, instead(first, "", "z"))[0], wrongForm, nothing)
	withKey := withKey(instead(first, "ann", "y", "z"), newKey())
	second := s.cast(t, withKey)[0]
	wantCounted(t, second)
	if diff := cmp.Diff([]string{"y 1", "z 1"}, totals(second)); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	wantCounted(t, s.cast(t, withKey)[0]) // the same again
	wantCode(t, s.cast(t, instead(first, "ann", "x"))[0], noVote, nothing)
	wantCode(t, s.cast(t, instead(nil, "ann", "x"))[0], noLimit, nothing)
	if diff := cmp.Diff(map[string]int64{"x": 0, "y": 1, "z": 1}, counts()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if left := w.left(ballot); left != 98 {
		t.Errorf("%d uses left: vote and change take one each", left)
	}
	status := func(v *votev1.Verdict) votev1.VoteState {
		t.Helper()
		got, err := s.GetVoteStatus(t.Context(), &votev1.GetVoteStatusRequest{Ballot: ballot, VoteId: v.GetVoteId()})
		if err != nil {
			t.Fatal(err)
		}
		return got.GetState()
	}
	testenv.Eventually(t, 10*time.Second, func() error {
		if got := status(first); got != votev1.VoteState_VOTE_STATE_RETRACTED || status(second) != votev1.VoteState_VOTE_STATE_COUNTED {
			return fmt.Errorf("the first vote is %s, the second %s", got, status(second))
		}
		return nil
	})
	w.hold()
	w.mintInPostgres(ballot, 100, time.Hour)
	third := s.eventually(t, instead(second, "ann", "x", "x"))
	if diff := cmp.Diff([]string{"x 1", "x 2"}, totals(third)); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	wantCode(t, s.cast(t, instead(second, "ann", "z"))[0], noVote, nothing)
	w.release()
	w.mint(ballot, 100, time.Hour)
	s.eventually(t, instead(third, "ann", "z"))
	if diff := cmp.Diff(map[string]int64{"x": 0, "y": 0, "z": 1}, counts()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	report, err := pgledger.Recount(t.Context(), w.pool)
	if err != nil || !report.OK() {
		t.Errorf("recount: %+v, %v", report, err)
	}
}

func totals(v *votev1.Verdict) []string {
	list := make([]string, 0, len(v.GetTotals()))
	for _, n := range v.GetTotals() {
		list = append(list, fmt.Sprint(n.GetCandidate(), " ", n.GetVotes()))
	}
	return list
}

// Counts in answers are for those who may see them: voters, once they have voted; nobody, where the ballot says so.
func TestTotalsAreShownAsTheBallotSays(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	w.persist()
	for visibility, want := range map[ballotv1.Visibility][3]bool{ // to a vote, to the same again, to a retraction
		ballotv1.Visibility_VISIBILITY_ALWAYS:      {true, true, true},
		ballotv1.Visibility_VISIBILITY_AFTER_VOTE:  {true, false, false},
		ballotv1.Visibility_VISIBILITY_AFTER_CLOSE: {},
		ballotv1.Visibility_VISIBILITY_NEVER:       {},
	} {
		rules := likes(fmt.Sprint("v-", int(visibility)))
		rules.Visibility = visibility
		ballot := s.makes(t, rules)
		first := withKey(like("ann", ballot, "x"), newKey())
		got := [3]*votev1.Verdict{s.cast(t, first)[0], s.cast(t, first)[0], s.unlike(t, "ann", ballot, "x", "")}
		for n, v := range got {
			wantCounted(t, v)
			if shown := len(v.GetTotals()) > 0; shown != want[n] {
				t.Errorf("%s: answer %d shows counts: %t", visibility, n, shown)
			}
		}
	}
}

// What a ballot without tickets, with a limit per candidate, or of another kind does not take.
func TestVotesThatBreakTheRulesOfTheContest(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	ballot := s.makes(t, likes("likes"))
	plain := s.makes(t, &ballotv1.Ballot{Name: "plain", VotesPerVoter: 2})
	ref := w.mint("main", 10, time.Hour)
	edit := func(f func(v *votev1.Vote)) *votev1.Vote {
		v := like("ann", ballot, "x")
		f(v)
		return v
	}
	for name, v := range map[string]*votev1.Vote{
		"a ticket":           edit(func(v *votev1.Vote) { v.Permit = &votev1.Vote_Ticket{Ticket: ref} }),
		"no voter":           edit(func(v *votev1.Vote) { v.Voter = "" }),
		"two choices":        edit(func(v *votev1.Vote) { v.Choices = append(v.Choices, v.GetChoices()...) }),
		"a count of 2":       edit(func(v *votev1.Vote) { v.Choices[0].Count = 2 }),
		"a name with a dot":  edit(func(v *votev1.Vote) { v.Choices[0].Candidate = "x.y" }),
		"a name and newline": edit(func(v *votev1.Vote) { v.Choices[0].Candidate = "x\n" }),
		"a change":           edit(func(v *votev1.Vote) { v.Replaces = newKey() }),
		"a change of itself": {Ballot: plain, Voter: "ann", Replaces: testUUID, VoteId: testUUID, Choices: like("", "", "x").GetChoices()},
		"a change of no id":  {Ballot: plain, Voter: "ann", Replaces: "x", Choices: like("", "", "x").GetChoices()},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, s.cast(t, v)[0], wrongForm, nothing) })
	}
	newest := like("ann", ballot, "x")
	newest.Permit = &votev1.Vote_NewestTicket{NewestTicket: true}
	wantCounted(t, s.cast(t, newest)[0])
	wantCode(t, s.unlike(t, "ann", plain, "x", ""), wrongForm, nothing) // which of the votes?
	wantCode(t, s.unlike(t, "", ballot, "x", ""), wrongForm, nothing)
	wantCode(t, s.unlike(t, "ann", ballot, " x", ""), wrongForm, nothing)
}

const testUUID = "0190a8f4-0b1c-4abc-8def-0123456789ab"
