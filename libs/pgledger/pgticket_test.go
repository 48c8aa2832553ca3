package pgledger_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/libs/pgledger"
)

func version(number int64) string { return fmt.Sprintf("1.%d.0", number) }

func TestMintTicket(t *testing.T) {
	t.Parallel()
	pool := newPgLedger(t)
	if state := ticketState(t, pool, "main"); state.Newest != nil || state.LastNumber != 0 || state.Usable() {
		t.Errorf("state without a ticket is %+v", state)
	}
	first := mintTicket(t, pool, "main", 7)
	want := &pgledger.Ticket{Value: "value-1.1.0", Version: "1.1.0", Cap: 7, Left: 7, CreatedAt: first.CreatedAt, ExpiresAt: first.CreatedAt.Add(time.Minute)}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("ticket (-want +got):\n%s", diff)
	}
	// The successor begins where the first one ends, and nothing comes after it yet.
	done, created, expires, err := pgledger.MintTicket(t.Context(), pool, 1, "main",
		pgledger.Mint{Number: 2, Version: "1.2.0", Value: "v", Cap: pgledger.NoCap, Interval: 2 * time.Second})
	if err != nil || done != pgledger.MintDone || !created.Equal(first.ExpiresAt) || expires.Sub(created) != 2*time.Second {
		t.Errorf("successor: %v from %v to %v, %v", done, created, expires, err)
	}
	state := ticketState(t, pool, "main")
	if state.Newest.Version != "1.1.0" || state.Successor != "1.2.0" || state.LastNumber != 2 || !state.Usable() {
		t.Errorf("state is %+v", state)
	}
	if done := mintFor(t, pool, "main", 7, time.Minute); done != pgledger.MintAlready {
		t.Errorf("a third ticket is %v, want that both are there", done)
	}
	// It takes over at its own time, whether or not anybody writes that down.
	run(t, pool, "UPDATE tickets SET created_at = created_at - interval '1 minute', expires_at = expires_at - interval '1 minute'")
	state = ticketState(t, pool, "main")
	if state.Newest.Version != "1.2.0" || state.Newest.Left != pgledger.NoCap || state.Successor != "" {
		t.Errorf("state is %+v", state)
	}
	expectCodes(t, mustCast(t, pool, castBatch("main", vote("A"))), pgledger.CastOK)
	if n := count(t, pool, "ticket_history"); n != 2 {
		t.Errorf("the history has %d tickets, want 2", n)
	}
}

func TestMintTicketRefuses(t *testing.T) {
	t.Parallel()
	pool := newPgLedger(t)
	mint := func(number, fence int64) pgledger.Minted {
		t.Helper()
		done, _, _, err := pgledger.MintTicket(t.Context(), pool, 1, "main", pgledger.Mint{
			Number: number, Version: version(number), Value: "v", Cap: 1, Interval: time.Minute, Fence: fence,
		})
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	if done := mint(2, 5); done != pgledger.MintStale {
		t.Errorf("the second number first: %v", done)
	}
	if done := mint(1, 5); done != pgledger.MintDone {
		t.Errorf("the first: %v", done)
	}
	if done := mint(2, 4); done != pgledger.MintFenced {
		t.Errorf("with an older lock: %v", done)
	}
	if done := mint(1, 6); done != pgledger.MintStale {
		t.Errorf("the first number again: %v", done)
	}
}

// A ticket of an earlier epoch may lie ahead: its clock was Redis's.
func TestOldTicketsAreNotTheNewest(t *testing.T) {
	t.Parallel()
	pool := newPgLedger(t)
	run(t, pool, `INSERT INTO tickets (ballot, version, value, created_at, expires_at)
		VALUES ('main', '0.9.0', 'old', now() + interval '3 seconds', now() + interval '1 hour'),
			('main', '10.9.0', 'other', now() - interval '3 seconds', now() + interval '1 hour')`)
	if state := ticketState(t, pool, "main"); state.Newest != nil || state.Successor != "" {
		t.Errorf("state is %+v", state)
	}
	expectCodes(t, mustCast(t, pool, castBatch("main", vote("A"))), pgledger.CastExpired)
	mintTicket(t, pool, "main", 7)
	run(t, pool, "UPDATE tickets SET created_at = created_at - interval '4 seconds' WHERE version = '0.9.0'")
	result := mustCast(t, pool, castBatch("main", vote("A")))
	if expectCodes(t, result, pgledger.CastOK); result.TicketVersion != "1.1.0" {
		t.Errorf("the ticket is %s", result.TicketVersion)
	}
}

func TestMintTicketAtTheSameTime(t *testing.T) {
	t.Parallel()
	pool := newPgLedger(t)
	var minted atomic.Int64
	var minters sync.WaitGroup
	for range 8 {
		minters.Go(func() {
			done, _, _, err := pgledger.MintTicket(t.Context(), pool, 1, "main",
				pgledger.Mint{Number: 1, Version: "1.1.0", Value: "v", Cap: 1, Interval: time.Minute})
			if err != nil {
				t.Errorf("mint: %v", err)
			}
			if done == pgledger.MintDone {
				minted.Add(1)
			}
		})
	}
	minters.Wait()
	if minted.Load() != 1 || count(t, pool, "tickets") != 1 {
		t.Errorf("%d tickets were made, want one", minted.Load())
	}
}
