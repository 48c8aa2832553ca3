package gateway

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

func TestS52S53VoteInThreeAnswers(t *testing.T) {
	b := newBooth(t, nil)
	got := b.on("tiny", tinyVote, variables{"usernames": []string{"alice", "bob", "alice"}, "ticket": tinyValue})
	if got.Data["vote"] != "成功" || got.Errors != nil {
		t.Fatalf("%+v", got)
	}
	if vote := b.voted(); vote.GetBallot() != "tiny" || vote.GetTicket().GetValue() != tinyValue || len(vote.GetChoices()) != 3 {
		t.Errorf("sent %v", vote)
	}
	for name, votes := range map[string]float64{"alice": 2, "bob": 1} {
		if got := b.on("tiny", castQuery, variables{"username": name}).Data["query"]; got != votes {
			t.Errorf("%s has %v, want %v", name, got, votes)
		}
	}
	if got := b.on("tiny", "{ cas }", nil).Data["cas"]; got != tinyValue {
		t.Errorf("cas is %v", got)
	}
	for _, value := range []string{"", "x", castValue, strings.ToUpper(tinyValue)} {
		if got := b.on("tiny", tinyVote, variables{"usernames": []string{"a"}, "ticket": value}); got.Data["vote"] != "ticket 失效" || got.Errors != nil {
			t.Errorf("%q: %+v", value, got)
		}
	}
	if n := b.voteCalls.Load(); n != 1 {
		t.Errorf("%d calls to the vote service", n)
	}
}

func TestS52WhatEndsWithATicketAndWhatIsAnError(t *testing.T) {
	for code, want := range map[statusv1.Code]string{
		statusv1.Code_CODE_TICKET_INVALID:    "ticket 失效",
		statusv1.Code_CODE_TICKET_EXPIRED:    "ticket 失效",
		statusv1.Code_CODE_TICKET_SUPERSEDED: "ticket 失效",
		statusv1.Code_CODE_TICKET_EXHAUSTED:  "ticket 失效",
		statusv1.Code_CODE_BALLOT_CLOSED:     "ticket 失效",
		statusv1.Code_CODE_UNAVAILABLE:       "",
		statusv1.Code_CODE_INTERNAL:          "",
		statusv1.Code_CODE_OUTCOME_UNKNOWN:   "",
	} {
		t.Run(code.String(), func(t *testing.T) {
			b := newBooth(t, func(s *services) {
				s.vote = func(context.Context, *votev1.Vote) *votev1.Verdict {
					verdict := refusedWith(code)
					if code == statusv1.Code_CODE_OUTCOME_UNKNOWN {
						verdict.Outcome = statusv1.Outcome_OUTCOME_UNKNOWN
					}
					return verdict
				}
			})
			got := b.on("tiny", tinyVote, variables{"usernames": []string{"a"}, "ticket": tinyValue})
			if want != "" {
				if got.Data["vote"] != want || got.Errors != nil {
					t.Errorf("%+v", got)
				}
				return
			}
			if len(got.Errors) != 1 || got.Errors[0].Message != "尝试获取锁时发生错误" {
				t.Fatalf("%+v", got)
			}
			outcome := map[bool]string{true: "UNKNOWN", false: "NONE"}[code != statusv1.Code_CODE_UNAVAILABLE]
			if got.Errors[0].Extensions["outcome"] != outcome {
				t.Errorf("%+v", got.Errors[0].Extensions)
			}
			// The process lives.
			if got := b.on("tiny", castQuery, variables{"username": "a"}); got.Errors != nil {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestS57AVoteWaitsForItsPlaceASecondAtMost(t *testing.T) {
	busy := refusedWith(statusv1.Code_CODE_OVERLOADED)
	for turns, want := range map[int64]string{3: "成功", 1000: "未能获取锁，已超时"} {
		var b *booth
		b = newBooth(t, func(s *services) {
			free := s.vote
			s.vote = func(ctx context.Context, vote *votev1.Vote) *votev1.Verdict {
				if b.voteCalls.Load() < turns {
					return busy
				}
				return free(ctx, vote)
			}
		})
		began := time.Now()
		got := b.on("tiny", tinyVote, variables{"usernames": []string{"a"}, "ticket": tinyValue})
		took := time.Since(began)
		if got.Data["vote"] != want || got.Errors != nil {
			t.Errorf("after %d turns: %+v", turns, got)
		}
		if calls := b.voteCalls.Load(); calls > 11 || took > 5*time.Second || want == "成功" && calls != turns {
			t.Errorf("after %d turns: %d turns in %v", turns, calls, took)
		}
	}
}

// S58: what Tiny Vote left undone. However many ask for one name at once, the store behind is asked once.
func TestS58ManyQueriesAtOnceAreOneRead(t *testing.T) {
	const many = 100
	behind := newServices(t)
	entered, release := make(chan struct{}, 1), make(chan struct{})
	reads := 0 // of one call after the other
	behind.tallies = func(_ context.Context, request *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
		if reads == 0 {
			entered <- struct{}{}
			<-release
		}
		reads += len(request.GetReads())
		response := &queryv1.GetTalliesResponse{}
		for _, read := range request.GetReads() {
			response.Tallies = append(response.Tallies, tallyOf(read))
		}
		return response, nil
	}
	cfg := behind.config(t)
	cfg.Gateway.Reads.InFlight = 1
	b := &booth{services: behind, running: start(t, cfg)}
	var wait sync.WaitGroup
	ask := func() {
		if got := b.on("tiny", castQuery, variables{"username": "alice"}); got.Errors != nil || got.Data["query"] != 0.0 {
			t.Errorf("%+v", got)
		}
	}
	wait.Go(ask)
	<-entered
	for range many {
		wait.Go(ask)
	}
	await(t, "all of them wait", func() bool { return b.Service.tallies.Waiting() == many })
	close(release)
	wait.Wait()
	if reads != 2 { // the first was on its way when the others came
		t.Errorf("%d reads", reads)
	}
}
