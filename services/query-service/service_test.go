package queryservice_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/libs/embedded"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/testenv"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"

	queryservice "github.com/littlevote/littlevote/services/query-service"
)

func TestReadsOfOneCall(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(*queryservice.Config) {})
	w.count("main", "B", 3)
	w.count("cast", "bob", 2)
	w.count("cast", "alice", 1)
	got := w.read(
		&queryv1.TallyRead{Candidates: []string{"C", "B", "C"}},
		&queryv1.TallyRead{Ballot: "main"},
		&queryv1.TallyRead{Ballot: "cast"},
		&queryv1.TallyRead{Ballot: "cast", Candidates: []string{"nobody", "bob"}},
		&queryv1.TallyRead{Ballot: "main", Candidates: []string{"bob"}},
		&queryv1.TallyRead{Ballot: "none"},
	)
	names := func(t *queryv1.Tally) (out []string) {
		for _, c := range t.GetCounts() {
			out = append(out, c.GetCandidate())
		}
		return out
	}
	if diff := cmp.Diff([]string{"C", "B", "C"}, names(got[0])); diff != "" || votes(got[0])["B"] != 3 {
		t.Errorf("asked for C, B, C: %v", got[0])
	}
	if got[0].GetCounts()[1].GetUpdatedAt() == nil || got[0].GetCounts()[0].GetUpdatedAt() != nil {
		t.Error("only what was voted for has a time of change")
	}
	if n := names(got[1]); len(n) != 26 || n[0] != "A" || n[25] != "Z" {
		t.Errorf("a closed list is all there, by name: %v", n)
	}
	if diff := cmp.Diff([]string{"alice", "bob"}, names(got[2])); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int64{"nobody": 0, "bob": 2}, votes(got[3])); diff != "" {
		t.Error(diff)
	}
	for i, want := range []statusv1.Code{
		statusv1.Code_CODE_OK, statusv1.Code_CODE_OK, statusv1.Code_CODE_OK, statusv1.Code_CODE_OK,
		statusv1.Code_CODE_INVALID_ARGUMENT, statusv1.Code_CODE_BALLOT_NOT_FOUND,
	} {
		if got[i].GetCode() != want || got[i].GetStale() {
			t.Errorf("read %d: %v", i, got[i])
		}
	}
}

// G8: whatever was settled before a read was sent is in its answer, however many reads run at once.
func TestReadsAreNeverOlderThanTheirBegin(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(*queryservice.Config) {})
	var wg sync.WaitGroup
	for g := range 6 {
		name := string(rune('A' + g))
		wg.Go(func() {
			for n := range int64(30) {
				w.count("main", name, 1)
				if got := votes(w.read(&queryv1.TallyRead{Candidates: []string{name}})[0])[name]; got != n+1 {
					t.Errorf("%s has %d, want %d", name, got, n+1)
					return
				}
			}
		})
	}
	wg.Wait()
}

// S21: without Redis counts come from the replica, without that from the primary, and say that they may be old.
func TestS21S72PostgresAnswersWhileRedisIsAway(t *testing.T) {
	for name, c := range map[string]struct {
		replica func(primary string) string
		want    queryv1.Source
	}{
		"replica":      {func(p string) string { return p }, queryv1.Source_SOURCE_POSTGRES_REPLICA},
		"replica away": {func(string) string { return "postgres://x@127.0.0.1:1/x" }, queryv1.Source_SOURCE_POSTGRES_PRIMARY},
		"no replica":   {func(string) string { return "" }, queryv1.Source_SOURCE_POSTGRES_PRIMARY},
	} {
		t.Run(name, func(t *testing.T) {
			redis, err := embedded.Redis(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = redis.Close() })
			w := newWorld(t, redis.URL(), func(cfg *queryservice.Config) { cfg.Postgres.ReplicaURL = c.replica(cfg.Postgres.URL) })
			if _, err := w.pool.Exec(t.Context(), "INSERT INTO user_votes VALUES ('main', 'A', 7, 7, now())"); err != nil {
				t.Fatal(err)
			}
			w.freeze() // Redis stays the ledger
			if err := redis.Close(); err != nil {
				t.Fatal(err)
			}
			tally := w.awaitSource(c.want)
			if votes(tally)["A"] != 7 || !tally.GetStale() || tally.GetAsOf() == nil {
				t.Fatalf("%v", tally)
			}
			if all := w.read(&queryv1.TallyRead{})[0]; len(all.GetCounts()) != 26 || votes(all)["A"] != 7 || !all.GetStale() {
				t.Fatalf("%v", all)
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	redis, err := embedded.Redis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = redis.Close() })
	w := newWorld(t, redis.URL(), func(*queryservice.Config) {})
	if _, err := w.pool.Exec(t.Context(), "ALTER TABLE user_votes RENAME TO gone"); err != nil {
		t.Fatal(err)
	}
	if err := redis.Close(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 20*time.Second, func() error {
		_, err := w.GetTallies(t.Context(), &queryv1.GetTalliesRequest{Reads: []*queryv1.TallyRead{{}}})
		if connect.CodeOf(err) != connect.CodeUnavailable {
			return fmt.Errorf("%w", err)
		}
		detail, ok := service.Detail(err)
		if !ok || detail.GetCode() != statusv1.Code_CODE_UNAVAILABLE || !detail.GetRetryable() {
			return fmt.Errorf("%v", detail)
		}
		return nil
	})
}

func TestBoundsOfACall(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(*queryservice.Config) {})
	many := make([]*queryv1.TallyRead, 1001)
	for i := range many {
		many[i] = &queryv1.TallyRead{}
	}
	names := make([]string, 10_001)
	for name, reads := range map[string][]*queryv1.TallyRead{
		"none": nil, "1001 reads": many, "10001 candidates": {{Ballot: "cast", Candidates: names}},
	} {
		_, err := w.GetTallies(t.Context(), &queryv1.GetTalliesRequest{Reads: reads})
		var e *connect.Error
		if !errors.As(err, &e) || e.Code() != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}
