package pgledger_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/pgledger"
)

// Hole H3: what an error says about the transaction must be true.
func TestCommitUnknown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		at       string // the connection is cut when the client sends this
		pass     bool   // whether the server still gets it
		unknown  bool
		appliedN int
	}{
		"commit was sent, its reply is lost":    {"commit\x00", true, true, 1},
		"commit was sent and lost":              {"commit\x00", false, true, 0},
		"the connection broke before commit":    {"COPY vote_logs", true, false, 0},
		"the connection broke in the last step": {"UPDATE offsets", true, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := newLedger(t)
			cut := connect(t, cutAt(t, pool.Config().ConnString(), c.at, c.pass))
			_, err := pgledger.Apply(t.Context(), cut, pgledger.Batch{
				Events:  eventsOf(newBatch("main", 1, "A")),
				Offsets: offsetOfNewTopic(t, pool),
			})
			if err == nil || pgledger.CommitUnknown(err) != c.unknown || pgledger.Permanent(err) {
				t.Errorf("error is %v, want one with CommitUnknown %v", err, c.unknown)
			}
			awaitIdle(t, pool)
			if n := count(t, pool, "applied_batches"); n != c.appliedN {
				t.Errorf("%d batches applied, want %d", n, c.appliedN)
			}
			expectRecount(t, pool)
		})
	}
}

func TestCommitRefused(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	run(t, pool, `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
		CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON user_votes DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW EXECUTE FUNCTION refuse()`)
	_, err := apply(t.Context(), pool, newBatch("main", 1, "A"))
	if err == nil || !strings.Contains(err.Error(), "commit was refused") || pgledger.CommitUnknown(err) {
		t.Errorf("error is %v, want a refusal by COMMIT that is no unknown", err)
	}
	expectEmpty(t, pool)
}

// A server that is shut down during COMMIT may have committed: it waits for its replicas after that.
func TestCommitDuringAShutdown(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	run(t, pool, `
		CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			PERFORM pg_terminate_backend(pg_backend_pid());
			RETURN NULL;
		END $$;
		CREATE CONSTRAINT TRIGGER die AFTER INSERT ON user_votes DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW EXECUTE FUNCTION die()`)
	if _, err := apply(t.Context(), pool, newBatch("main", 1, "A")); !pgledger.CommitUnknown(err) {
		t.Errorf("error is %v, want an unknown", err)
	}
}

func TestApplyWithoutServer(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	pool := connect(t, "postgres://postgres@"+address+"/nothing?sslmode=disable")
	if _, err := apply(t.Context(), pool, newBatch("main", 1, "A")); err == nil || pgledger.CommitUnknown(err) {
		t.Errorf("error is %v, want one that is no unknown", err)
	}
}

func TestApplyAfterTheDeadline(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := apply(ctx, pool, newBatch("main", 1, "A")); !errors.Is(err, context.Canceled) || pgledger.CommitUnknown(err) {
		t.Errorf("error is %v, want the context's and no unknown", err)
	}
	expectEmpty(t, pool)
}

// cutAt is the URL of a proxy in front of a server. It breaks the connection when the client sends the marker.
func cutAt(t *testing.T, target, marker string, pass bool) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	server := u.Host
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go proxy(client, server, marker, pass)
		}
	}()
	u.Host = listener.Addr().String()
	query := u.Query()
	query.Set("sslmode", "disable") // the marker must be readable
	u.RawQuery = query.Encode()
	return u.String()
}

func proxy(client net.Conn, server, marker string, pass bool) {
	defer client.Close()
	upstream, err := net.Dial("tcp", server)
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
		cut := bytes.Contains(buffer[:n], []byte(marker))
		if cut {
			_ = client.Close() // before the server can answer
		}
		if !cut || pass {
			if _, err := upstream.Write(buffer[:n]); err != nil {
				return
			}
		}
		if cut {
			return
		}
	}
}

func offsetOfNewTopic(t *testing.T, pool *pgxpool.Pool) []pgledger.OffsetMove {
	t.Helper()
	topic := [16]byte{1}
	if _, err := pgledger.Offsets(t.Context(), pool, topic, 1); err != nil {
		t.Fatal(err)
	}
	return []pgledger.OffsetMove{{TopicID: topic, To: 1}}
}

// awaitIdle waits until the server has noticed that a connection is gone, and finished what it was told before.
func awaitIdle(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	eventually(t, func() error {
		if query[int](t, pool, `
			SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND (state <> 'idle' OR backend_xid IS NOT NULL)`) > 0 {
			return errors.New("a transaction is open")
		}
		return nil
	})
}
