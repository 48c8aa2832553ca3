package e2e

import (
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/tools/e2e/internal/fixture"
	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/system"
)

// TestF7RedisEmptied empties Redis in the middle of load. Nobody may ever be shown a count without a vote that was
// acknowledged before, and voting must go on in the next epoch.
func TestF7RedisEmptied(t *testing.T) {
	const voters, progress = 12, 100
	const patience = 5*time.Second + slack
	redis := fixture.OwnRedis(t)
	s := fixture.Start(t, system.Config{Replicas: 2, Stores: system.Stores{Redis: redis}, Flags: map[system.Kind][]string{
		system.Ticket: {"--ticket-cap=none", "--ticket-interval=1s"},
	}})
	before, err := pgledger.CurrentEpoch(t.Context(), s.Pool)
	if err != nil {
		t.Fatal(err)
	}
	history := &checker.History{}
	c := gather(t, s.Gateways, history, voters, alternating(true))
	reader := watch(t, s.Gateways[0], history)
	c.awaitMore(t, progress)
	if err := fixture.Flush(redis); err != nil {
		t.Fatal(err)
	}
	emptied := time.Now()
	acknowledged := history.Number(checker.Counted)
	c.awaitMore(t, progress)
	took := time.Since(emptied).Round(time.Millisecond)
	t.Logf("%d votes were acknowledged when Redis was emptied; %d more %v later", acknowledged, progress, took)
	if took > patience {
		t.Errorf("voting went on only after %v", took)
	}
	c.stop()
	reader.stop()
	resolve(t, s.Gateways[1], history)
	s.Verify(t, s.Gateways[0], history)
	after, err := pgledger.CurrentEpoch(t.Context(), s.Pool)
	if err != nil || after.Number != before.Number+1 || after.NS == before.NS {
		t.Errorf("epoch %+v, %v, after %+v", after, err, before)
	}
}
