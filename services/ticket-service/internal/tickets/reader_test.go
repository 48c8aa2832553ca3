package tickets

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/groupcommit"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// steered is a ledger whose answers the test lets go one by one.
type steered struct {
	sent   chan string                  // a fetch of that ballot is on its way
	answer chan redisledger.TicketState // … and this is what it finds
	calls  atomic.Int64
}

func newSteered() *steered {
	return &steered{sent: make(chan string), answer: make(chan redisledger.TicketState)}
}

func (l *steered) Ticket(ctx context.Context, ballot string) (in epoch.Ledger, state redisledger.TicketState, err error) {
	l.calls.Add(1)
	select {
	case l.sent <- ballot:
	case <-ctx.Done():
		return in, state, ctx.Err()
	}
	select {
	case s := <-l.answer:
		return in, s, nil
	case <-ctx.Done():
		return in, state, ctx.Err()
	}
}

func numbered(n int64) redisledger.TicketState { return redisledger.TicketState{LastNumber: n} }

// ask sends n reads of a ballot and returns, by calling, the numbers that they got, once all n wait.
func ask(t *testing.T, r *Reader, ballot string, n int) (numbers func() []int64) {
	t.Helper()
	got := make([]int64, n)
	var done sync.WaitGroup
	for i := range n {
		done.Go(func() {
			state, err := r.Get(t.Context(), ballot)
			if err != nil {
				t.Error(err)
			}
			got[i] = state.LastNumber
		})
	}
	return func() []int64 {
		done.Wait()
		return got
	}
}

func waiting(t *testing.T, r *Reader, ballot string, n int) {
	t.Helper()
	for {
		if b, err := r.batcher(ballot); err != nil {
			t.Fatal(err)
		} else if b.Len() == n {
			return
		}
	}
}

func newReader(t *testing.T, l *steered) *Reader {
	t.Helper()
	r := NewReader(l)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		r.Close(ctx)
	})
	return r
}

// However many ask while a fetch is under way, one more answers them all; and nobody gets an answer that was on its way
// before he asked.
func TestS58ReadersShareTheNextFetch(t *testing.T) {
	l := newSteered()
	r := newReader(t, l)
	first := ask(t, r, "main", 1)
	<-l.sent
	rest := ask(t, r, "main", 1000)
	waiting(t, r, "main", 1000)
	l.answer <- numbered(1)
	<-l.sent
	l.answer <- numbered(2)
	if got := first(); got[0] != 1 {
		t.Errorf("the first got %d", got[0])
	}
	for _, got := range rest() {
		if got != 2 {
			t.Fatalf("got %d: the answer of a fetch that was sent before", got)
		}
	}
	if n := l.calls.Load(); n != 2 {
		t.Errorf("%d calls for 1001 readers", n)
	}
}

func TestOneReadersCancellationIsHisOwn(t *testing.T) {
	l := newSteered()
	r := newReader(t, l)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := r.Get(ctx, "main")
		gone <- err
	}()
	<-l.sent
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	rest := ask(t, r, "main", 2)
	waiting(t, r, "main", 2)
	l.answer <- numbered(1)
	<-l.sent
	l.answer <- numbered(2)
	rest()
}

func TestBallotsDoNotWaitForEachOther(t *testing.T) {
	l := newSteered()
	r := newReader(t, l)
	slow := ask(t, r, "slow", 1)
	<-l.sent
	quick := ask(t, r, "main", 1)
	if ballot := <-l.sent; ballot != "main" {
		t.Fatal(ballot)
	}
	l.answer <- numbered(1)
	l.answer <- numbered(1)
	quick()
	slow()
}

func TestClosedReaderRefuses(t *testing.T) {
	r := NewReader(newSteered())
	r.Close(t.Context())
	if _, err := r.Get(t.Context(), "main"); !errors.Is(err, groupcommit.ErrClosed) {
		t.Error(err)
	}
}
