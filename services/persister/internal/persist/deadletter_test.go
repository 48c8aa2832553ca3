package persist

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/events"
)

// gate lets a Kafka client's connections through, or none.
type gate struct {
	mu     sync.Mutex
	closed bool
	conns  []net.Conn
}

func (g *gate) dial(ctx context.Context, network, host string) (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, errors.New("the gate is closed")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, host)
	if err == nil {
		g.conns = append(g.conns, conn)
	}
	return conn, err
}

func (g *gate) set(closed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = closed
	for _, c := range g.conns {
		_ = c.Close()
	}
	g.conns = nil
}

// gated makes a persister whose way to the dead-letter topic goes through a gate.
func (w *town) gated() (*running, *gate) {
	w.Helper()
	g := &gate{}
	client, err := events.NewProducer(w.kafka, slog.New(slog.DiscardHandler), kgo.ProducerBatchMaxBytes(2<<20), kgo.Dialer(g.dial))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(client.Close)
	return w.prepare(w.pool, func(_ *Config, p *Persister) { p.producer = client }), g
}

// A dead-letter topic that takes nothing holds up the partitions with dead letters, and no other. What is behind a dead
// letter comes in its order, and the letter is written once.
func TestUnwritableDeadLetterTopicHoldsUpItsPartitionOnly(t *testing.T) {
	w := newTown(t, 2)
	p, g := w.gated()
	p.begin()
	p.awaitReady()
	g.set(true)
	w.send(0, w.batch("A"))
	w.sendRaw(0, []byte("garbage"))
	w.send(0, w.batch("A"), w.batch("A"))
	p.awaitTrouble("dead letter of partition 0: ")
	p.awaitLog("partition waits for the dead-letter topic")
	w.awaitOffset(0, 1)
	w.send(0, w.batch("A"))
	w.sendRaw(0, []byte("more garbage"))
	for range 3 {
		w.send(1, w.batch("B"))
	}
	w.awaitVotes("B", 3)
	w.awaitVotes("A", 1)
	if got := p.metrics.waiting.Load(); got != 1 {
		t.Errorf("%d partitions are said to wait, want 1", got)
	}
	if got := w.offset(0); got != 1 {
		t.Errorf("partition 0 stands at %d, before its dead letter is written", got)
	}

	g.set(false)
	w.awaitOffset(0, 6)
	w.awaitVotes("A", 4)
	p.awaitReady()
	w.deadLetters(2)
	w.send(0, w.batch("A"))
	w.awaitVotes("A", 5)
}

// A stop does not wait for the dead-letter topic, and the next persister takes it up.
func TestStopWhileADeadLetterWaits(t *testing.T) {
	w := newTown(t, 1)
	p, g := w.gated()
	p.begin()
	p.awaitReady()
	g.set(true)
	w.sendRaw(0, []byte("garbage"))
	w.send(0, w.batch("A"))
	p.awaitTrouble("dead letter of partition 0: ")
	begin := time.Now()
	p.stop()
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the stop took %v", took)
	}
	w.start()
	w.awaitVotes("A", 1)
	w.awaitOffset(0, 2)
}
