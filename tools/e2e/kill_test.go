package e2e

import (
	"testing"
	"time"

	"github.com/littlevote/littlevote/tools/e2e/internal/fixture"
	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/system"
)

// TestKillEachService kills one of two in the middle of load and starts it again, one service after the other, on one
// system and one history.
func TestKillEachService(t *testing.T) {
	const voters, progress = 16, 60
	s := fixture.Start(t, system.Config{Replicas: 2, Flags: map[system.Kind][]string{
		system.Ticket: {"--ticket-cap=none", "--ticket-interval=1s", "--ticket-lock-ttl=500ms"},
	}})
	history := &checker.History{}
	for _, kind := range system.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			victim := s.Service(kind, 0)
			c := gather(t, s.Gateways, history, voters, alternating(true))
			reader := watch(t, s.Gateways[1], history)
			c.awaitMore(t, progress)
			victim.Kill()
			killed := time.Now()
			c.awaitMore(t, progress)
			t.Logf("%d votes acknowledged within %v of the kill", progress, time.Since(killed).Round(time.Millisecond))
			victim.Start()
			victim.AwaitReady(t)
			c.awaitMore(t, progress)
			c.stop()
			reader.stop()
			resolve(t, s.Gateways[1], history)
			s.Verify(t, s.Gateways[0], history)
		})
	}
}
