package redisledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/embedded"
)

func TestURLs(t *testing.T) {
	for url, want := range map[string]target{
		"redis://u:p@h:1/2":                      {},
		"rediss://h:1":                           {},
		"redis+cluster://h:1":                    {cluster: true, hosts: []string{"h:1"}},
		"redis+cluster://u:p%40@h:1,i:2":         {cluster: true, hosts: []string{"h:1", "i:2"}, user: "u", password: "p@"},
		"redis+sentinel://h:1,i:2/name":          {master: "name", hosts: []string{"h:1", "i:2"}},
		"redis+sentinel://:secret@h:1,i:2/other": {master: "other", hosts: []string{"h:1", "i:2"}, password: "secret"},
	} {
		got, err := parse(url)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(target{})); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", url, err, diff)
		}
		rdb, err := Open(url, 1, time.Second)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		_ = rdb.Close()
	}
	for _, url := range []string{
		"", "http://h:1", "redis+cluster://h:1/0", "redis+cluster://h", "redis+cluster://", "redis+sentinel://h:1",
		"redis+sentinel://h:1,/name", "redis+sentinel://%zz/name",
	} {
		if _, err := Open(url, 1, time.Second); err == nil {
			t.Errorf("%q opens", url)
		}
	}
}

// What a node refused at the door ran nothing; of everything else nothing is known.
func TestErrorsByWhatTheySay(t *testing.T) {
	dial := &net.OpError{Op: "dial", Err: errors.New("refused")}
	for _, c := range []struct {
		err               error
		noEffect, refused bool
	}{
		{redisError("LOADING Redis is loading the dataset in memory"), true, true},
		{redisError("CLUSTERDOWN The cluster is down"), true, true},
		{redisError("TRYAGAIN Multiple keys request during rehashing of slot"), true, true},
		{redisError("MOVED 1 h:1"), true, true},
		{redisError("ASK 1 h:1"), true, true},
		{redisError("READONLY You can't write against a read only replica."), true, true},
		{redisError("MASTERDOWN Link with MASTER is down"), true, true},
		{redisError("NOREPLICAS Not enough good replicas to write."), true, true},
		{redisError("OOM command not allowed when used memory > 'maxmemory'."), true, true},
		{redisError("BUSY Redis is busy running a script."), true, true},
		{redisError("ERR max number of clients reached"), true, true},
		{fmt.Errorf("settle: %w", redisError("TRYAGAIN x")), true, true},
		{redisError("ERR Error running script"), false, false},
		{redisError("UNKILLABLE"), false, false},
		{ErrWrongEpoch, true, false},
		{redis.ErrPoolTimeout, true, false},
		{dial, true, false},
		{fmt.Errorf("redis: all sentinels are unreachable: %w", errors.Join(dial, dial)), true, false},
		{&net.OpError{Op: "read", Err: errors.New("reset")}, false, false},
		{context.DeadlineExceeded, false, false},
		{io.EOF, false, false},
	} {
		if NoEffect(c.err) != c.noEffect || Refused(c.err) != c.refused {
			t.Errorf("%v: no effect %v, refused %v", c.err, NoEffect(c.err), Refused(c.err))
		}
	}
}

type redisError string

func (e redisError) Error() string { return string(e) }
func (redisError) RedisError()     {}

// node is a server that answers as little as a client needs.
type node struct {
	*server.Server

	scripts chan struct{} // one for each script that came
}

// newNode starts a node of a cluster of one; script is what it does with a script.
func newNode(t *testing.T, script func(p *server.Peer)) *node {
	t.Helper()
	s, err := server.NewServer("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	n := &node{Server: s, scripts: make(chan struct{}, 100)}
	for name, f := range map[string]func(p *server.Peer){
		"CLUSTER": func(p *server.Peer) {
			p.Block(func(w *server.Writer) {
				w.WriteLen(1)
				w.WriteLen(3)
				w.WriteInt(0)
				w.WriteInt(16383)
				w.WriteLen(2)
				w.WriteBulk("127.0.0.1")
				w.WriteInt(s.Addr().Port)
			})
		},
		"EVALSHA": func(p *server.Peer) {
			n.scripts <- struct{}{}
			script(p)
		},
	} {
		if err := s.Register(name, func(p *server.Peer, _ string, _ []string) { f(p) }); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// H13, H27: a script without an answer is not sent again by the client library, by itself or in a pipeline, whatever kind
// of Redis it is: the first may still run.
func TestScriptsAreSentOnce(t *testing.T) {
	for _, scheme := range []string{"redis", clusterScheme} {
		t.Run(scheme, func(t *testing.T) {
			n := newNode(t, func(p *server.Peer) { p.Close() })
			rdb, err := Open(scheme+"://"+n.Addr().String(), 5, 2*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = rdb.Close() }()
			one := call{knownScript, []string{"{a}:marker"}, nil}
			for _, calls := range [][]call{{one}, {one, one}} {
				for _, r := range New(rdb).run(t.Context(), calls...) {
					if r.err == nil || NoEffect(r.err) {
						t.Errorf("%d calls: %v", len(calls), r.err)
					}
				}
			}
			if got := len(n.scripts); got > 3 {
				t.Errorf("3 calls came as %d", got)
			}
		})
	}
}

// A node that does not serve the slot says where it is served, and ran nothing.
func TestRedirectionsAreFollowed(t *testing.T) {
	there := newNode(t, func(p *server.Peer) { p.WriteStrings([]string{"UNKNOWN"}) })
	if err := there.Register("ASKING", func(p *server.Peer, _ string, _ []string) { p.WriteOK() }); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"MOVED", "ASK"} {
		here := newNode(t, func(p *server.Peer) { p.WriteError(kind + " 1 " + there.Addr().String()) })
		rdb, err := Open(clusterScheme+"://"+here.Addr().String(), 5, 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		one := call{knownScript, []string{"{a}:marker"}, nil}
		for _, calls := range [][]call{{one}, {one, one}} {
			for _, r := range New(rdb).run(t.Context(), calls...) {
				if r.err != nil || r.word != "UNKNOWN" {
					t.Errorf("%s: %+v", kind, r)
				}
			}
		}
		_ = rdb.Close()
	}
}

func TestPing(t *testing.T) {
	redis, err := embedded.Redis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := newPinger(t, redis.URL())
	if err := p.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := redis.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Ping(t.Context()); err == nil {
		t.Fatal("a Redis that is gone answers")
	}
}

// F10: one that takes connections and says nothing is called away in time.
func TestPingDoesNotWaitForOneThatHangs(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for _, scheme := range []string{"redis", clusterScheme} {
		p := newPinger(t, scheme+"://"+l.Addr().String())
		began := time.Now()
		if err := p.Ping(t.Context()); err == nil {
			t.Errorf("%s: it answers", scheme)
		}
		if took := time.Since(began); took > 3*pingTimeout {
			t.Errorf("%s: it took %s", scheme, took)
		}
	}
}

// A node that became a replica under an open connection takes no writes.
func TestPingWantsAMaster(t *testing.T) {
	n := newNode(t, func(*server.Peer) {})
	for name, text := range map[string]string{"PING": "PONG", "INFO": "role:slave\r\nmaster_link_status:up\r\n"} {
		if err := n.Register(name, func(p *server.Peer, _ string, _ []string) { p.WriteBulk(text) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := newPinger(t, "redis://"+n.Addr().String()).Ping(t.Context()); !errors.Is(err, errReplica) {
		t.Fatal(err)
	}
}

// One that evicts forgets tickets, keys and counts: it is no ledger, and none is loaded into it.
func TestARedisThatEvictsIsNone(t *testing.T) {
	for policy, want := range map[string]bool{"noeviction": true, "": true, "allkeys-lru": false, "allkeys-random": false, "volatile-ttl": false} {
		n := newNode(t, func(*server.Peer) {})
		answer := func(p *server.Peer, command string, args []string) {
			switch {
			case command == "PING":
				p.WriteBulk("PONG")
			case args[0] == "memory" && policy != "":
				p.WriteBulk("# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:" + policy + "\r\n")
			case args[0] == "memory":
				p.WriteError("ERR there is no such section")
			default:
				p.WriteBulk("# Replication\r\nrole:master\r\nconnected_slaves:1\r\n")
			}
		}
		for _, name := range []string{"PING", "INFO"} {
			if err := n.Register(name, answer); err != nil {
				t.Fatal(err)
			}
		}
		p := newPinger(t, "redis://"+n.Addr().String())
		role, loading := p.ledger.Replication(t.Context())
		if loading == nil && role != (Replication{Master: true, Replicas: true}) {
			t.Errorf("%q: %+v", policy, role)
		}
		for _, err := range []error{p.Ping(t.Context()), loading} {
			if (err == nil) != want || err != nil && !strings.Contains(err.Error(), "maxmemory-policy is "+policy+", expected noeviction") {
				t.Errorf("%q: %v", policy, err)
			}
		}
	}
}

func newPinger(t *testing.T, url string) *Pinger {
	t.Helper()
	p, err := NewPinger(config.Redis{URL: url}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}
