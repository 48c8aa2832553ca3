package votes

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

var errBroken = status.Error(codes.Unavailable, "connection reset")

// What is refused for a moment is tried again for a while; what is an answer is not.
func TestTriedAgainInside(t *testing.T) {
	for name, test := range map[string]struct {
		vote  Vote
		code  statusv1.Code
		again bool
	}{
		"newest, unavailable": {newest(), statusv1.Code_CODE_UNAVAILABLE, true},
		"newest, expired":     {newest(), statusv1.Code_CODE_TICKET_EXPIRED, true},
		"newest, superseded":  {newest(), statusv1.Code_CODE_TICKET_SUPERSEDED, true},
		"newest, exhausted":   {newest(), statusv1.Code_CODE_TICKET_EXHAUSTED, false},
		"newest, overloaded":  {newest(), statusv1.Code_CODE_OVERLOADED, false},
		"newest, closed":      {newest(), statusv1.Code_CODE_BALLOT_CLOSED, false},
		"held, unavailable":   {held(), statusv1.Code_CODE_UNAVAILABLE, true},
		"held, expired":       {held(), statusv1.Code_CODE_TICKET_EXPIRED, false},
		"held, superseded":    {held(), statusv1.Code_CODE_TICKET_SUPERSEDED, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := &client{answer: func(_ context.Context, call int64, votes []*votev1.Vote) ([]*votev1.Verdict, error) {
					if call < 5 {
						return all(votes, refusal(test.code)), nil
					}
					return all(votes, counts), nil
				}}
				v, _ := newVoter(t, config(), service)
				defer v.Close(t.Context())
				verdict := v.Cast(t.Context(), test.vote)
				if counted := verdict.GetOutcome() == statusv1.Outcome_OUTCOME_COUNTED; counted != test.again {
					t.Errorf("after %d calls: %v", service.calls.Load(), verdict)
				}
				if !test.again && (service.calls.Load() != 1 || verdict.GetCode() != test.code) {
					t.Errorf("after %d calls: %v", service.calls.Load(), verdict)
				}
			})
		})
	}
}

func TestTryingAgainEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := &client{answer: func(_ context.Context, _ int64, votes []*votev1.Vote) ([]*votev1.Verdict, error) {
			return all(votes, refusal(statusv1.Code_CODE_UNAVAILABLE)), nil
		}}
		v, _ := newVoter(t, config(), service)
		defer v.Close(t.Context())
		began := time.Now()
		verdict := v.Cast(t.Context(), newest())
		if took := time.Since(began); verdict.GetCode() != statusv1.Code_CODE_UNAVAILABLE || took > 2*time.Second || took < time.Second {
			t.Errorf("after %v: %v", took, verdict)
		}
		// No longer than its caller waits.
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
		defer cancel()
		began = time.Now()
		if verdict := v.Cast(ctx, newest()); verdict.GetOutcome() != statusv1.Outcome_OUTCOME_NONE || time.Since(began) > 250*time.Millisecond {
			t.Errorf("after %v: %v", time.Since(began), verdict)
		}
	})
}

// However many votes are refused, only so many calls more are made for them.
func TestTheBudgetOfRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Retries = 10
		sent := 0
		var mu sync.Mutex
		v, _ := newVoter(t, cfg, &client{answer: func(_ context.Context, _ int64, votes []*votev1.Vote) ([]*votev1.Verdict, error) {
			mu.Lock()
			defer mu.Unlock()
			sent += len(votes)
			return all(votes, refusal(statusv1.Code_CODE_UNAVAILABLE)), nil
		}})
		defer v.Close(t.Context())
		var wait sync.WaitGroup
		const voters = 1000
		for range voters {
			wait.Go(func() {
				if verdict := v.Cast(t.Context(), newest()); verdict.GetCode() != statusv1.Code_CODE_UNAVAILABLE {
					t.Errorf("%v", verdict)
				}
			})
		}
		wait.Wait()
		if more := sent - voters; more < 10 || more > 30 { // in two seconds, or three periods of the budget
			t.Errorf("%d votes were sent again", more)
		}
	})
}

// F1: a vote with a key whose call broke is sent again until it is certain to have been sent once more, and only good
// news is believed then.
func TestSentAgain(t *testing.T) {
	for name, test := range map[string]struct {
		then  []func(votes []*votev1.Vote) ([]*votev1.Verdict, error) // from the second call on; the last one repeats
		want  statusv1.Outcome
		calls int64
	}{
		"counted": {[]func([]*votev1.Vote) ([]*votev1.Verdict, error){yes}, statusv1.Outcome_OUTCOME_COUNTED, 2},
		"no vote-service for a while": {
			[]func([]*votev1.Vote) ([]*votev1.Verdict, error){unsent, unsent, unsent, yes}, statusv1.Outcome_OUTCOME_COUNTED, 5,
		},
		"not open for a while": {
			[]func([]*votev1.Vote) ([]*votev1.Verdict, error){says(statusv1.Code_CODE_UNAVAILABLE), yes}, statusv1.Outcome_OUTCOME_COUNTED, 3,
		},
		"broken again":       {[]func([]*votev1.Vote) ([]*votev1.Verdict, error){broken}, statusv1.Outcome_OUTCOME_UNKNOWN, 2},
		"refused: exhausted": {[]func([]*votev1.Vote) ([]*votev1.Verdict, error){says(statusv1.Code_CODE_TICKET_EXHAUSTED)}, statusv1.Outcome_OUTCOME_UNKNOWN, 2},
		"refused: reused":    {[]func([]*votev1.Vote) ([]*votev1.Verdict, error){says(statusv1.Code_CODE_KEY_REUSED)}, statusv1.Outcome_OUTCOME_UNKNOWN, 2},
		"never again":        {[]func([]*votev1.Vote) ([]*votev1.Verdict, error){unsent}, statusv1.Outcome_OUTCOME_UNKNOWN, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := &client{answer: func(_ context.Context, call int64, votes []*votev1.Vote) ([]*votev1.Verdict, error) {
					if call == 1 {
						return broken(votes)
					}
					return test.then[min(int(call)-2, len(test.then)-1)](votes)
				}}
				v, _ := newVoter(t, config(), service)
				defer v.Close(t.Context())
				began := time.Now()
				verdict := v.Cast(t.Context(), keyed())
				if verdict.GetOutcome() != test.want || test.calls > 0 && service.calls.Load() != test.calls {
					t.Errorf("after %d calls: %v", service.calls.Load(), verdict)
				}
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("after %v", took)
				}
				if verdict.GetOutcome() == statusv1.Outcome_OUTCOME_UNKNOWN && !verdict.GetRetryable() {
					t.Errorf("its key makes it safe to come back: %v", verdict)
				}
			})
		})
	}
}

func yes(votes []*votev1.Vote) ([]*votev1.Verdict, error) { return all(votes, counts), nil }
func broken([]*votev1.Vote) ([]*votev1.Verdict, error)    { return nil, errBroken }
func unsent([]*votev1.Vote) ([]*votev1.Verdict, error)    { return nil, errUnsent }
func says(code statusv1.Code) func([]*votev1.Vote) ([]*votev1.Verdict, error) {
	return func(votes []*votev1.Vote) ([]*votev1.Verdict, error) { return all(votes, refusal(code)), nil }
}

// Votes that wait to be sent again keep no others from being sent.
func TestSendingAgainHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.InFlight = 1
		v, _ := newVoter(t, cfg, &client{answer: func(_ context.Context, call int64, votes []*votev1.Vote) ([]*votev1.Verdict, error) {
			switch {
			case call == 1:
				return broken(votes)
			case votes[0].GetIdempotencyKey() != "":
				return unsent(votes)
			default:
				return yes(votes)
			}
		}})
		defer v.Close(t.Context())
		var wait sync.WaitGroup
		wait.Go(func() {
			if verdict := v.Cast(t.Context(), keyed()); verdict.GetOutcome() != statusv1.Outcome_OUTCOME_UNKNOWN {
				t.Errorf("%v", verdict)
			}
		})
		time.Sleep(time.Millisecond)
		began := time.Now()
		if verdict := v.Cast(t.Context(), held()); verdict.GetCode() != statusv1.Code_CODE_OK || time.Since(began) > 10*time.Millisecond {
			t.Errorf("after %v: %v", time.Since(began), verdict)
		}
		wait.Wait()
	})
}

// Whatever is under way when a voter is closed gets its verdict.
func TestClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, _ := newVoter(t, config(), &client{answer: func(_ context.Context, call int64, votes []*votev1.Vote) ([]*votev1.Verdict, error) {
			time.Sleep(2 * time.Second) // longer than a batch waits for
			if call == 1 {
				return broken(votes)
			}
			return yes(votes)
		}})
		var wait sync.WaitGroup
		for range 3 {
			wait.Go(func() {
				if verdict := v.Cast(context.Background(), keyed()); verdict.GetCode() != statusv1.Code_CODE_OK {
					t.Errorf("%v", verdict)
				}
			})
		}
		time.Sleep(time.Second)
		v.Close(t.Context())
		wait.Wait()
		if verdict := v.Cast(t.Context(), newest()); verdict.GetCode() != statusv1.Code_CODE_UNAVAILABLE || verdict.GetOutcome() != statusv1.Outcome_OUTCOME_NONE {
			t.Errorf("afterwards: %v", verdict)
		}
	})
}
