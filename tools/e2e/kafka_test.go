package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/tools/e2e/internal/fixture"
	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/system"
)

// TestS25VotesGoOnWithoutKafka takes Kafka away in the middle of load: votes are acknowledged all the same, and stand in
// Postgres at once. What it may have got of the last ones before it went must not count again when it is back.
func TestS25VotesGoOnWithoutKafka(t *testing.T) {
	const voters, progress = 12, 100
	kafka := fixture.OwnKafka(t)
	s := fixture.Start(t, system.Config{Replicas: 2, Stores: system.Stores{Kafka: kafka.Brokers}, Flags: map[system.Kind][]string{
		system.Ticket: {"--ticket-cap=none", "--ticket-interval=1s"},
		system.Vote:   {"--vote-produce-timeout=300ms"},
	}})
	history := &checker.History{}
	c := gather(t, s.Gateways, history, voters, alternating(true))
	reader := watch(t, s.Gateways[0], history)
	c.awaitMore(t, progress)
	kafka.Stop()
	away := time.Now()
	before := rows(t, s)
	c.awaitMore(t, progress)
	t.Logf("%d votes acknowledged within %v without Kafka", progress, time.Since(away).Round(time.Millisecond))
	testenv.Eventually(t, 5*time.Second, func() error {
		if n := rows(t, s) - before; n < progress/2 { // some of them were in Kafka before it went
			return fmt.Errorf("%d rows more", n)
		}
		return nil
	})
	kafka.Start(t)
	c.awaitMore(t, progress)
	c.stop()
	reader.stop()
	resolve(t, s.Gateways[1], history)
	s.Verify(t, s.Gateways[0], history)
}

func rows(t *testing.T, s *system.System) int {
	t.Helper()
	var n int
	if err := s.Pool.QueryRow(t.Context(), "SELECT count(*) FROM vote_logs").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
