package live

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// store is a query-service with counts that a test changes.
type store struct {
	queryv1.QueryServiceClient

	mu     sync.Mutex
	calls  int
	reads  int
	votes  map[string]int64
	names  []string
	may    func(v *queryv1.Viewer) bool // nil: everybody
	code   statusv1.Code                // said instead of counts, if set
	away   bool
	frozen bool // answers nothing until its caller gives up
	grow   bool // every read finds one vote more for A
}

func newStore(names ...string) *store { return &store{names: names, votes: map[string]int64{}} }

func (s *store) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *store) vote(name string) { s.set(func() { s.votes[name]++ }) }

func (s *store) called() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func (s *store) read() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

func (s *store) GetTallies(ctx context.Context, request *queryv1.GetTalliesRequest, _ ...grpc.CallOption) (*queryv1.GetTalliesResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.frozen {
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		return nil, ctx.Err()
	}
	if s.away {
		return nil, errors.New("nobody there")
	}
	if len(request.GetReads()) > 1000 {
		return nil, errors.New("too many reads")
	}
	response := &queryv1.GetTalliesResponse{}
	for _, read := range request.GetReads() {
		response.Tallies = append(response.Tallies, s.tally(read))
	}
	return response, nil
}

func (s *store) tally(read *queryv1.TallyRead) *queryv1.Tally {
	s.reads++
	t := &queryv1.Tally{Code: s.code, Ballot: read.GetBallot(), AsOf: timestamppb.Now()}
	switch {
	case s.code != 0:
		return t
	case s.may != nil && !s.may(read.GetViewer()):
		t.Code = statusv1.Code_CODE_RESULTS_HIDDEN
		return t
	}
	t.Code = statusv1.Code_CODE_OK
	if read.GetRightsOnly() {
		return t
	}
	if s.grow {
		s.votes["A"]++
	}
	for _, name := range s.names {
		t.Counts = append(t.Counts, &queryv1.Count{Candidate: name, Votes: s.votes[name]})
	}
	return t
}

func testConfig() Config {
	return Config{Interval: 100 * time.Millisecond, Timeout: time.Second, Patience: 10 * time.Second, Most: 5000}
}

// reader is a subscription of a test.
type reader struct {
	t       *testing.T
	updates <-chan *model.TallyUpdate
	cancel  context.CancelFunc
	why     error // read it once updates is closed
	last    int64
}

func subscribe(t *testing.T, h *Hub, viewer Viewer) *reader {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &reader{t: t, cancel: cancel}
	var err error
	r.updates, err = h.Subscribe(ctx, Ballot{Full: "acme.main", ID: "main"}, viewer, func(err error) { r.why = err })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// next waits for an update, and checks what is true of each.
func (r *reader) next() *model.TallyUpdate {
	r.t.Helper()
	u, open := <-r.updates
	if !open {
		r.t.Fatalf("ended: %v", r.why)
	}
	if u.Number <= r.last || u.Snapshot != (r.last == 0) || u.Ballot != "main" {
		r.t.Fatalf("after %d: %+v", r.last, u)
	}
	r.last = u.Number
	return u
}

// ended waits for the end, and returns why.
func (r *reader) ended() *answer.Refusal {
	r.t.Helper()
	for range r.updates {
	}
	var refusal *answer.Refusal
	if !errors.As(r.why, &refusal) {
		r.t.Fatalf("ended with %v", r.why)
	}
	return refusal
}

// quiet says that nothing comes for a while.
func (r *reader) quiet(d time.Duration) {
	r.t.Helper()
	select {
	case u, open := <-r.updates:
		r.t.Fatalf("%v %+v", open, u)
	case <-time.After(d):
	}
}

func counts(u *model.TallyUpdate) string {
	text := ""
	for _, c := range u.Counts {
		text += fmt.Sprintf("%s%d ", c.Username, c.Count)
	}
	return text
}

// bubble runs a test in a time of its own; it ends only when every goroutine of the hub has.
func bubble(t *testing.T, s *store, run func(t *testing.T, h *Hub)) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(s, testConfig())
		run(t, h)
		h.Close()
		if h.Count() != 0 || len(h.watches) != 0 {
			t.Errorf("%d subscriptions, %d watches are left", h.Count(), len(h.watches))
		}
	})
}
