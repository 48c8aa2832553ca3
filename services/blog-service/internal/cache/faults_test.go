package cache

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/embedded"
	"github.com/littlevote/littlevote/libs/testenv"
)

func TestWithoutRedisTheDatabaseAnswers(t *testing.T) {
	server, err := embedded.Redis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	wire := newWire(t, server.URL())
	db, id := newDatabase(t)
	a, b := newCache(t, wire.url, db, asIs), newCache(t, server.URL(), db, asIs)
	a.Changed(t.Context(), id, db.write(id, "alice", "one", true))
	one(t, a, id, Reader{})
	one(t, b, id, Reader{})
	wire.cut()
	linked(t, a, false)
	// A change of another instance cannot be heard of: memory is not asked.
	b.Changed(t.Context(), id, db.write(id, "alice", "two", true))
	if r := one(t, a, id, Reader{}); r.Value != "two" || r.Stale {
		t.Fatalf("while the link is cut: %+v", r)
	}
	// What is written now is not in Redis; a reads it nevertheless, and puts it right when it can.
	a.Changed(t.Context(), id, db.write(id, "alice", "three", true))
	if r := one(t, a, id, Reader{}); r.Value != "three" {
		t.Fatalf("after a write while the link is cut: %+v", r)
	}
	wire.heal()
	linked(t, a, true)
	if r := one(t, a, id, Reader{}); r.Value != "three" {
		t.Fatalf("after the link is back: %+v", r)
	}
	testenv.Eventually(t, 10*time.Second, func() error {
		if r := one(t, b, id, Reader{}); r.Value != "three" {
			return fmt.Errorf("the other instance has %+v", r)
		}
		return nil
	})
}

// What changed while nobody could tell is not served from memory afterwards, nor is what was fetched before.
func TestAfterABreakMemoryIsEmpty(t *testing.T) {
	server, err := embedded.Redis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	wire := newWire(t, server.URL())
	db, id := newDatabase(t)
	a, b := newCache(t, wire.url, db, asIs), newCache(t, server.URL(), db, asIs)
	b.Changed(t.Context(), id, db.write(id, "alice", "one", true))
	one(t, a, id, Reader{})
	held, ok := a.local.get(id)
	before := a.local.generation()
	if !ok {
		t.Fatal("it is not in memory")
	}
	wire.cut()
	linked(t, a, false)
	b.Changed(t.Context(), id, db.write(id, "alice", "two", true))
	wire.heal()
	linked(t, a, true)
	a.local.put(id, held, before)
	if r := one(t, a, id, Reader{}); r.Value != "two" {
		t.Errorf("after the break: %+v", r)
	}
}

func TestWithoutTheDatabaseCachesAnswer(t *testing.T) {
	db, id := newDatabase(t)
	c := newCache(t, testenv.Redis(t), db, asIs)
	c.Changed(t.Context(), id, db.write(id, "alice", "one", true))
	db.set(func() { db.away = true })
	if r := one(t, c, id, Reader{}); r.Value != "one" || r.Stale {
		t.Errorf("from a cache that hears of changes: %+v", r)
	}
	if r := one(t, c, id, Reader{Fresh: true}); r.Value != "one" || !r.Stale {
		t.Errorf("a fresh read without the database: %+v", r)
	}
	if _, err := c.Get(t.Context(), []ID{id, {Tenant: id.Tenant, Number: 1}}, Reader{}); err == nil {
		t.Error("what nobody has was answered")
	}
}

// What does not parse is fetched anew, and does not harm.
func TestGarbageInRedisIsIgnored(t *testing.T) {
	db, id := newDatabase(t)
	c := newCache(t, testenv.Redis(t), db, asIs)
	db.write(id, "alice", "one", true)
	key := redisPrefix + id.key("post")
	t.Cleanup(func() { c.shared.rdb.Del(context.Background(), key) }) // others share this Redis
	for _, fields := range [][]any{{"v", "x", "f", "1", "o", "", "d", ""}, {"v", "5"}} {
		if err := errors.Join(c.shared.rdb.Del(t.Context(), key).Err(), c.shared.rdb.HSet(t.Context(), key, fields...).Err()); err != nil {
			t.Fatal(err)
		}
		c.local.reset()
		if r := one(t, c, id, Reader{}); r.Value != "one" {
			t.Errorf("%v: %+v", fields, r)
		}
	}
	for _, message := range []string{"", "post", "post:a", "post:a:1@1", "post:a:0000000000000001@", "post:a:0000000000000001@x", "post:a:b:0000000000000001@1"} {
		if c, ok := parseChange(message); ok {
			t.Errorf("%q is %v", message, c)
		}
	}
	want := change{kind: "post", id: id, version: 3}
	if got, ok := parseChange(want.String()); !ok || got != want {
		t.Errorf("%q is %v", want.String(), got)
	}
}
