package verify

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/tools/bench/internal/wire"
)

func TestPostgresCounts(t *testing.T) {
	url := testenv.Postgres(t)
	if err := pgledger.Migrate(t.Context(), url, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, statement := range []string{
		`INSERT INTO user_votes (ballot, username, votes, version, updated_at) VALUES
			('main', 'A', 3, 1, now()), ('main', 'B', 2, 1, now()), ('cast', 'A', 50, 1, now())`,
		`INSERT INTO vote_logs (vote_id, ballot, username, delta, ticket_version, voter, voted_at, epoch, admission, batch_id)
			SELECT gen_random_uuid(), ballot, username, delta, '1.1.1', '', now() - age::interval, 1, 1, gen_random_uuid()
			FROM (VALUES ('main', 'A', 2, '0s'), ('main', 'A', 1, '1s'), ('main', 'B', 3, '0s'), ('main', 'B', -1, '0s'),
				('main', 'A', 70, '2h'), ('cast', 'A', 50, '0s')) AS row (ballot, username, delta, age)`,
	} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}

	postgres, err := OpenPostgres(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer postgres.Close()
	for name, source := range map[string]Source{"user_votes": postgres.Tallies(), "vote_logs": postgres.Ledger()} {
		got, err := source.Counts(t.Context())
		if diff := cmp.Diff(Counts{"A": 3, "B": 2}, got); diff != "" || err != nil {
			t.Errorf("%s: error %v, counts (-want +got):\n%s", name, err, diff)
		}
	}
	if total, err := postgres.Total(t.Context()); total != 5 || err != nil {
		t.Errorf("total %d, error %v; want 5", total, err)
	}
}

func TestAnswersAreReadAgainOnANewConnection(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"data":{"getAllUserVotes":[{"username":"A","votesExact":"7","stale":false}]}}`))
	}))
	defer server.Close()
	target, err := wire.ParseTarget(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	answers := NewAnswers(target, 5*time.Second)
	defer answers.Close()
	for range 2 {
		got, err := answers.Counts(t.Context())
		if diff := cmp.Diff(Counts{"A": 7}, got); diff != "" || err != nil {
			t.Fatalf("error %v, counts (-want +got):\n%s", err, diff)
		}
		server.CloseClientConnections() // as a server does with idle ones
	}
}
