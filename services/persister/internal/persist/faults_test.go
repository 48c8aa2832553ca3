package persist

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/embedded"
)

// Postgres goes away and comes back: votes wait, nobody loses one.
func TestPostgresAway(t *testing.T) {
	w := newTown(t, 2)
	wall := newWall(w)
	p := w.prepare(w.connect(wall.url))
	p.begin()
	p.awaitReady()
	w.send(0, w.batch("A"))
	w.awaitVotes("A", 1)
	wall.close()
	w.send(0, w.batch("A"))
	w.send(1, w.batch("A"))
	p.awaitLog("ERROR incident what=apply")
	p.awaitTrouble("apply: ")
	wall.open()
	w.awaitVotes("A", 3)
	p.awaitReady()
	p.awaitLog("INFO incident is over what=apply")
}

// A persister that starts before Postgres waits for it.
func TestStartBeforePostgres(t *testing.T) {
	w := newTown(t, 1)
	wall := newWall(w)
	wall.close()
	w.send(0, w.batch("A"))
	p := w.prepare(w.connect(wall.url))
	p.begin()
	p.awaitTrouble("session: ")
	wall.open()
	w.awaitVotes("A", 1)
	p.awaitReady()
}

// F14's cousin: COMMIT is done and its answer lost. The batch counts once, and the partition goes on.
func TestLostAnswerToCommit(t *testing.T) {
	w := newTown(t, 1)
	wall := newWall(w)
	p := w.prepare(w.connect(wall.url))
	p.run = p.sessions // without upkeep, which commits too
	p.begin()
	p.awaitReady()
	wall.cutNextCommit.Store(true)
	w.send(0, w.batch("A"))
	w.awaitVotes("A", 1)
	w.send(0, w.batch("A"))
	w.awaitVotes("A", 2)
	w.awaitOffset(0, 2)
	if wall.cutNextCommit.Load() {
		t.Error("no answer was lost")
	}
	p.awaitReady()
}

// A failover of Postgres loses commits: offsets and effects go back together, and what is still in Kafka is applied again,
// even where no new record comes.
func TestLedgerThatWentBack(t *testing.T) {
	w := newTown(t, 2)
	p := w.start()
	p.awaitReady()
	w.send(0, w.batch("A"), w.batch("A"), w.batch("B"))
	w.awaitOffset(0, 3)
	w.awaitVotes("A", 2)
	w.exec(`
		WITH a AS (DELETE FROM applied_batches), l AS (DELETE FROM vote_logs), v AS (DELETE FROM user_votes), t AS (DELETE FROM tickets)
		UPDATE offsets SET next = 0`)
	p.awaitLog("the ledger has gone back alarm=true partition=0 from=3 to=0")
	w.awaitOffset(0, 3)
	w.awaitVotes("A", 2)
	w.awaitVotes("B", 1)
	p.awaitReady()
}

// Kafka goes away: the persister says so, and its stop does not wait for it.
func TestKafkaAway(t *testing.T) {
	kafka, err := embedded.Kafka("")
	if err != nil {
		t.Fatal(err)
	}
	gone := sync.OnceValue(kafka.Close)
	t.Cleanup(func() { _ = gone() })
	w := newTownOn(t, 2, kafka.Brokers(), 1)
	p := w.prepare(w.pool, func(c *Config, _ *Persister) { c.TransactionTimeout = time.Second })
	p.begin()
	p.awaitReady()
	w.send(0, w.batch("A"))
	w.awaitVotes("A", 1)
	if err := gone(); err != nil {
		t.Fatal(err)
	}
	p.awaitTrouble("watch: ")
	p.stop()
}

// wall stands between a persister and Postgres.
type wall struct {
	url           string
	server        string
	cutNextCommit atomic.Bool

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]bool
}

func newWall(w *town) *wall {
	w.Helper()
	u, err := url.Parse(w.url)
	if err != nil {
		w.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = listener.Close() })
	l := &wall{server: u.Host, conns: map[net.Conn]bool{}}
	u.Host = listener.Addr().String()
	query := u.Query()
	query.Set("sslmode", "disable")
	u.RawQuery = query.Encode()
	l.url = u.String()
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go l.serve(client)
		}
	}()
	return l
}

// close breaks all connections and lets no new ones through.
func (l *wall) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for c := range l.conns {
		_ = c.Close()
	}
}

func (l *wall) open() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = false
}

func (l *wall) serve(client net.Conn) {
	defer client.Close()
	l.mu.Lock()
	closed := l.closed
	if !closed {
		l.conns[client] = true
	}
	l.mu.Unlock()
	if closed {
		return
	}
	upstream, err := net.Dial("tcp", l.server)
	if err != nil {
		return
	}
	defer upstream.Close()
	go func() {
		_, _ = io.Copy(client, upstream)
		_ = client.Close()
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		lose := bytes.Contains(buffer[:n], []byte("commit\x00")) && l.cutNextCommit.CompareAndSwap(true, false)
		if lose {
			_ = client.Close()
		}
		if _, err := upstream.Write(buffer[:n]); err != nil || lose {
			return
		}
	}
}
