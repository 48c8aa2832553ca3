package pgledger_test

import (
	"strings"
	"testing"

	"github.com/littlevote/littlevote/libs/pgledger"
)

// What a Postgres can't keep is said, whoever asks: also by a user without any rights.
func TestWeakPromises(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for commit, want := range map[string]string{
		"on": "synchronous_standby_names is empty", "local": "synchronous_standby_names is empty", "off": "synchronous_commit is off",
	} {
		if _, err := conn.Exec(t.Context(), "SET synchronous_commit = "+commit); err != nil {
			t.Fatal(err)
		}
		weak, err := pgledger.Weak(t.Context(), conn)
		if err != nil || !strings.Contains(strings.Join(weak, "; "), want) {
			t.Errorf("synchronous_commit %s: %q, %v", commit, weak, err)
		}
	}
}
