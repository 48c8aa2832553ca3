package testenv_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/littlevote/littlevote/libs/testenv"
)

func TestPostgresGivesEachCallAnEmptyDatabase(t *testing.T) {
	for range 2 {
		conn, err := pgx.Connect(t.Context(), testenv.Postgres(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "CREATE TABLE votes (n int)"); err != nil {
			t.Fatalf("the database is not empty: %v", err)
		}
		// Left open on purpose: the database goes away all the same.
	}
}
