package verify

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/littlevote/littlevote/tools/bench/internal/operation"
)

var (
	counted = operation.Answer{Kind: operation.Success, Code: "OK"}
	refused = operation.Answer{Kind: operation.Refused, Code: "TICKET_EXPIRED"}
	unknown = operation.Answer{Kind: operation.Failed, Code: "timeout", Unknown: true}
)

// voted is an account with 3 votes for A, 2 for B and 1 of unknown outcome for C; each vote names one candidate.
func voted() *Account {
	account := NewAccount(1)
	for v, answers := range map[int][]operation.Answer{
		0: {counted, counted, refused, counted},
		1: {counted, refused, counted},
		2: {unknown, refused},
		3: {refused},
	} {
		for _, answer := range answers {
			account.Add(v, answer)
		}
	}
	return account
}

func TestCheck(t *testing.T) {
	before := Counts{"A": 100, "B": 0, "D": 7}
	for _, c := range []struct {
		name  string
		after Counts
		good  bool
	}{
		{"as acknowledged", Counts{"A": 103, "B": 2, "D": 7}, true},
		{"the unknown one counts", Counts{"A": 103, "B": 2, "C": 1, "D": 7}, true},
		{"a vote lost", Counts{"A": 102, "B": 2, "D": 7}, false},
		{"a vote doubled", Counts{"A": 104, "B": 2, "D": 7}, false},
		{"one lost and one doubled", Counts{"A": 102, "B": 3, "D": 7}, false},
		{"the unknown one counts for another", Counts{"A": 103, "B": 3, "D": 7}, false},
		{"the unknown one counts twice", Counts{"A": 103, "B": 2, "C": 2, "D": 7}, false},
		{"a refused vote counts", Counts{"A": 103, "B": 2, "D": 8}, false},
		{"somebody unheard of", Counts{"A": 103, "B": 2, "D": 7, "?": 1}, false},
		{"a count is gone", Counts{"A": 103, "B": 2}, false},
		{"nothing counts", before, false},
	} {
		if err := voted().Check(before, c.after); (err == nil) != c.good {
			t.Errorf("%s: error %v", c.name, err)
		}
	}
}

func TestEveryNameOfAVoteCounts(t *testing.T) {
	account := NewAccount(3)
	account.Add(25, counted) // Z, A, B
	account.Add(0, counted)  // A, B, C
	if account.Acknowledged() != 6 || account.Unknown() != 0 {
		t.Errorf("%d acknowledged, %d unknown; want 6, 0", account.Acknowledged(), account.Unknown())
	}
	if err := account.Check(nil, Counts{"Z": 1, "A": 2, "B": 2, "C": 1}); err != nil {
		t.Errorf("all names counted: %v", err)
	}
	if err := account.Check(nil, Counts{"Z": 1, "A": 2, "B": 2}); err == nil {
		t.Error("a name missing: no error")
	}
}

// script is a source that answers as told, the last answer again and again.
type script struct {
	answers []Counts
	asked   int
}

func (s *script) Counts(context.Context) (Counts, error) {
	answer := s.answers[min(s.asked, len(s.answers)-1)]
	s.asked++
	if answer == nil {
		return nil, errors.New("away")
	}
	return answer, nil
}

func TestAwait(t *testing.T) {
	right, short, over := Counts{"A": 3, "B": 2}, Counts{"A": 2, "B": 2}, Counts{"A": 3, "B": 3}
	patience := Patience{Timeout: 10 * time.Second, Poll: 100 * time.Millisecond, Settled: time.Second}
	for _, c := range []struct {
		name    string
		answers []Counts
		good    bool
		took    time.Duration
	}{
		{"at once", []Counts{right}, true, 0},
		{"after a while", []Counts{short, short, short, right}, true, 300 * time.Millisecond},
		{"after a failure", []Counts{nil, nil, right}, true, 200 * time.Millisecond},
		{"lost", []Counts{short}, false, 10 * time.Second},
		{"doubled", []Counts{over}, false, 10 * time.Second},
		{"away", []Counts{nil}, false, 10 * time.Second},
		{"right on the way to doubled", []Counts{short, right, right, over}, false, 10 * time.Second},
		{"wrong for a moment", []Counts{right, right, short, right}, true, 300 * time.Millisecond},
		{"the unknown vote comes later", []Counts{right, {"A": 3, "B": 2, "C": 1}}, true, 100 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			took, err := Await(t.Context(), &script{answers: c.answers}, Counts{}, voted(), patience)
			if (err == nil) != c.good || took != c.took {
				t.Errorf("%s: took %v, error %v; want %v", c.name, took, err, c.took)
			}
		})
	}
}

// slow takes longer for a look than anybody has patience for.
type slow struct{ counts Counts }

func (s slow) Counts(context.Context) (Counts, error) {
	time.Sleep(time.Minute)
	return s.counts, nil
}

func TestASlowLookIsNoWrongCount(t *testing.T) {
	patience := Patience{Timeout: 10 * time.Second, Poll: 100 * time.Millisecond, Settled: time.Second}
	synctest.Test(t, func(t *testing.T) {
		if took, err := Await(t.Context(), slow{Counts{"A": 3, "B": 2}}, Counts{}, voted(), patience); err != nil || took != time.Minute {
			t.Errorf("right: took %v, error %v; want a minute and none", took, err)
		}
		if took, err := Await(t.Context(), slow{Counts{"A": 2, "B": 2}}, Counts{}, voted(), patience); err == nil || took != time.Minute {
			t.Errorf("wrong: took %v, error %v; want a minute and one", took, err)
		}
	})
}

// growing has one more vote at each look.
type growing struct{ counts Counts }

func (g growing) Counts(context.Context) (Counts, error) {
	g.counts["C"]++
	return Counts{"C": g.counts["C"]}, nil
}

func TestACountThatNeverRestsIsNotBelieved(t *testing.T) {
	account := NewAccount(1)
	for range 1000 {
		account.Add(2, unknown)
	}
	patience := Patience{Timeout: 10 * time.Second, Poll: 100 * time.Millisecond, Settled: time.Second}
	synctest.Test(t, func(t *testing.T) {
		if took, err := Await(t.Context(), growing{Counts{}}, Counts{}, account, patience); err == nil || took != 10*time.Second {
			t.Errorf("took %v, error %v; want 10s and one", took, err)
		}
	})
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		patience := Patience{Timeout: time.Hour, Poll: time.Minute}
		if _, err := Await(ctx, &script{answers: []Counts{nil}}, Counts{}, voted(), patience); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the context's", err)
		}
	})
}
