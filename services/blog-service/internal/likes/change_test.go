package likes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"

	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

const (
	ok        = statusv1.Code_CODE_OK
	already   = statusv1.Code_CODE_ALREADY_LIKED
	notLiked  = statusv1.Code_CODE_NOT_LIKED
	notFound  = statusv1.Code_CODE_NOT_FOUND
	malformed = statusv1.Code_CODE_INVALID_ARGUMENT
	tooFast   = statusv1.Code_CODE_RATE_LIMITED
)

// everything allows all.
func everything() Config {
	return Config{Foreign: true, Voter: Rate{10, 20}, Address: Rate{50, 100}, Item: Rate{1000, 1000}}
}

func change1(t *testing.T, s *Service, c *blogv1.LikeChange) *blogv1.LikeVerdict {
	t.Helper()
	response, err := s.ChangeLikes(t.Context(), &blogv1.ChangeLikesRequest{Changes: []*blogv1.LikeChange{c}})
	if err != nil {
		t.Fatal(err)
	}
	return response.GetVerdicts()[0]
}

func like(item string) *blogv1.LikeChange { return &blogv1.LikeChange{Voter: "user:1", Item: item} }

func unlike(item string) *blogv1.LikeChange {
	return &blogv1.LikeChange{Voter: "user:1", Item: item, Unlike: true}
}

func TestS61ASecondLikeAndAnUnlikeWithoutALikeAreRefused(t *testing.T) {
	w := newWorld()
	s := w.service(t, everything())
	for i, step := range []struct {
		change  *blogv1.LikeChange
		code    statusv1.Code
		outcome statusv1.Outcome
		count   int64
	}{
		{unlike("news-1"), notLiked, statusv1.Outcome_OUTCOME_NONE, 0}, // the ballot is not even there
		{like("news-1"), ok, statusv1.Outcome_OUTCOME_COUNTED, 1},
		{like("news-1"), already, statusv1.Outcome_OUTCOME_NONE, 0},
		{unlike("news-1"), ok, statusv1.Outcome_OUTCOME_COUNTED, 0},
		{unlike("news-1"), notLiked, statusv1.Outcome_OUTCOME_NONE, 0},
		{like("news-1"), ok, statusv1.Outcome_OUTCOME_COUNTED, 1},
	} {
		got := change1(t, s, step.change)
		if got.GetCode() != step.code || got.GetOutcome() != step.outcome || got.GetLikeCount() != step.count || got.GetRetryable() {
			t.Errorf("step %d: %v", i, got)
		}
		if (got.GetToken() != "") != (step.code == ok) || (got.GetVoteId() != "") != (step.code == ok) {
			t.Errorf("step %d: %v", i, got)
		}
	}
}

func TestALikeOfAHundredAtOnceCountsOnce(t *testing.T) {
	w := newWorld()
	w.hidden = 5
	s := w.service(t, everything())
	verdicts := make([]statusv1.Code, 100)
	var wait sync.WaitGroup
	for i := range verdicts {
		wait.Go(func() {
			response, err := s.ChangeLikes(t.Context(), &blogv1.ChangeLikesRequest{Changes: []*blogv1.LikeChange{like(aPost)}})
			if err == nil {
				verdicts[i] = response.GetVerdicts()[0].GetCode()
			}
		})
	}
	wait.Wait()
	slices.Sort(verdicts)
	want := append([]statusv1.Code{ok}, slices.Repeat([]statusv1.Code{already}, 99)...)
	if diff := cmp.Diff(want, verdicts); diff != "" {
		t.Error(diff)
	}
}

// A storm of likes is one call to the vote-service, and every change has a verdict in its place.
func TestManyChangesAreOneCall(t *testing.T) {
	w := newWorld()
	s := w.service(t, everything())
	change1(t, s, like("first"))
	calls := w.castCalls
	req := &blogv1.ChangeLikesRequest{}
	want := make([]statusv1.Code, 0, 1000)
	for i := range 1000 {
		c, code := &blogv1.LikeChange{Voter: fmt.Sprint("user:", i), Item: aPost}, ok
		switch i % 10 {
		case 3:
			c.Item, code = "not an item", malformed
		case 5:
			c.Item, code = "7305000000000002", notFound
		case 7:
			c.Unlike, code = true, notLiked
		case 9:
			c.Voter, code = "", malformed
		}
		req.Changes, want = append(req.Changes, c), append(want, code)
	}
	response, err := s.ChangeLikes(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]statusv1.Code, len(response.GetVerdicts()))
	for i, verdict := range response.GetVerdicts() {
		got[i] = verdict.GetCode()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if w.castCalls != calls+1 {
		t.Errorf("%d calls", w.castCalls-calls)
	}
	for _, n := range []int{0, 1001} {
		if _, err := s.ChangeLikes(t.Context(), &blogv1.ChangeLikesRequest{Changes: make([]*blogv1.LikeChange, n)}); err == nil {
			t.Errorf("%d changes are taken", n)
		}
	}
}

func TestOnlyWhatIsThereIsLiked(t *testing.T) {
	w := newWorld()
	for _, test := range []struct {
		name    string
		change  *blogv1.LikeChange
		foreign bool
		away    bool
		code    statusv1.Code
	}{
		{"a post", like(aPost), false, false, ok},
		{"no post of ours", like("7305000000000002"), true, false, notFound},
		{"a post of another tenant", &blogv1.LikeChange{Tenant: "acme", Voter: "user:1", Item: aPost}, true, false, notFound},
		{"a foreign item", like("news:1"), true, false, ok},
		{"a foreign item where there are none", like("news:2"), false, false, notFound},
		{"nobody knows of posts now", like(aPost), true, true, statusv1.Code_CODE_UNAVAILABLE},
		{"an unlike asks nobody", unlike(aPost), false, true, ok},
		{"a name too long", like("x" + fmt.Sprintf("%064d", 1)), true, false, malformed},
		{"another tenant's ballot", &blogv1.LikeChange{Tenant: "acme.likes", Voter: "user:1", Item: "x"}, true, false, malformed},
	} {
		cfg := everything()
		cfg.Foreign, w.postsAway = test.foreign, test.away
		got := change1(t, w.service(t, cfg), test.change)
		if got.GetCode() != test.code || (test.code == ok) != (got.GetOutcome() == statusv1.Outcome_OUTCOME_COUNTED) {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestTheBallotIsMadeByTheFirstLikeOfATenant(t *testing.T) {
	w := newWorld()
	w.hidden = 3
	s := w.service(t, everything())
	if answer, err := s.HasLiked(t.Context(), &blogv1.HasLikedRequest{Tenant: "acme", Voter: "user:1", Items: []string{"x"}}); err != nil || answer.GetLiked()[0] {
		t.Errorf("%v, %v", answer, err)
	}
	if answer, err := s.GetLikeCounts(t.Context(), &blogv1.GetLikeCountsRequest{Tenant: "acme", Items: []string{"x"}}); err != nil || answer.GetCounts()[0] != 0 {
		t.Errorf("%v, %v", answer, err)
	}
	if answer, err := s.ListMyLikes(t.Context(), &blogv1.ListMyLikesRequest{Tenant: "acme", Voter: "user:1"}); err != nil || len(answer.GetLikes()) != 0 || answer.GetNext() != "" {
		t.Errorf("%v, %v", answer, err)
	}
	if w.created != 0 {
		t.Error("a read makes the ballot")
	}
	for _, voter := range []string{"user:1", "user:2"} {
		if got := change1(t, s, &blogv1.LikeChange{Tenant: "acme", Voter: voter, Item: "x"}); got.GetCode() != ok {
			t.Errorf("%v", got)
		}
	}
	ballot := w.ballots["acme.likes"]
	if w.created != 1 || ballot == nil || !ballot.GetTicketless() || ballot.GetVotesPerVoter() != 1 || ballot.GetHotFor().AsDuration() != 30*24*time.Hour {
		t.Errorf("made %d times: %v", w.created, ballot)
	}
	answer, err := s.GetLikeCounts(t.Context(), &blogv1.GetLikeCountsRequest{Tenant: "acme", Items: []string{"y", "x"}})
	if err != nil || !cmp.Equal(answer.GetCounts(), []int64{0, 2}) {
		t.Errorf("%v, %v", answer, err)
	}
	if elsewhere, err := s.GetLikeCounts(t.Context(), &blogv1.GetLikeCountsRequest{Items: []string{"x"}}); err != nil || elsewhere.GetCounts()[0] != 0 {
		t.Errorf("another tenant sees %v, %v", elsewhere, err)
	}
}

// What was put on a connection and not answered may count; what was not, or was refused as a whole, does not.
func TestAFailedCallIsSaidForWhatItIs(t *testing.T) {
	w := newWorld()
	s := w.service(t, everything())
	change1(t, s, like("other"))
	lost := func(_ context.Context, opts []grpc.CallOption) error {
		sent(opts)
		return errors.New("connection reset")
	}
	for _, test := range []struct {
		name      string
		fail      func(context.Context, []grpc.CallOption) error
		key       string
		code      statusv1.Code
		outcome   statusv1.Outcome
		retryable bool
	}{
		{"lost", lost, "", statusv1.Code_CODE_OUTCOME_UNKNOWN, statusv1.Outcome_OUTCOME_UNKNOWN, false},
		{"lost, with a key", lost, "0190163d-8694-739b-aea5-966c26f8ad91", statusv1.Code_CODE_OUTCOME_UNKNOWN, statusv1.Outcome_OUTCOME_UNKNOWN, true},
		{"never sent", func(context.Context, []grpc.CallOption) error { return errors.New("no connection") }, "",
			statusv1.Code_CODE_UNAVAILABLE, statusv1.Outcome_OUTCOME_NONE, true},
		{"refused", func(_ context.Context, opts []grpc.CallOption) error {
			sent(opts)
			return errorWith(8, statusv1.Code_CODE_OVERLOADED)
		}, "", statusv1.Code_CODE_OVERLOADED, statusv1.Outcome_OUTCOME_NONE, false},
	} {
		w.fail = test.fail
		for _, c := range []*blogv1.LikeChange{like("x"), unlike("x")} {
			c.IdempotencyKey = test.key
			if got := change1(t, s, c); got.GetCode() != test.code || got.GetOutcome() != test.outcome || got.GetRetryable() != test.retryable {
				t.Errorf("%s: %v", test.name, got)
			}
		}
	}
}

func TestReadsAreOfTheTenantAndBounded(t *testing.T) {
	w := newWorld()
	s := w.service(t, everything())
	change1(t, s, like("x"))
	change1(t, s, &blogv1.LikeChange{Tenant: "acme", Voter: "user:1", Item: "y"})
	liked, err := s.HasLiked(t.Context(), &blogv1.HasLikedRequest{Voter: "user:1", Items: []string{"y", "x"}})
	if err != nil || !cmp.Equal(liked.GetLiked(), []bool{false, true}) {
		t.Errorf("%v, %v", liked, err)
	}
	mine, err := s.ListMyLikes(t.Context(), &blogv1.ListMyLikesRequest{Voter: "user:1"})
	if err != nil || len(mine.GetLikes()) != 1 || mine.GetLikes()[0].GetItem() != "x" || mine.GetNext() != "more" {
		t.Errorf("%v, %v", mine, err)
	}
	likers, err := s.ListLikers(t.Context(), &blogv1.ListLikersRequest{Tenant: "acme", Item: "y"})
	if err != nil || len(likers.GetLikes()) != 1 || likers.GetLikes()[0].GetVoter() != "user:1" {
		t.Errorf("%v, %v", likers, err)
	}
	for _, items := range [][]string{nil, make([]string, 1001), {"not an item"}} {
		if _, err := s.HasLiked(t.Context(), &blogv1.HasLikedRequest{Voter: "user:1", Items: items}); err == nil {
			t.Errorf("%d items are asked for", len(items))
		}
	}
}
