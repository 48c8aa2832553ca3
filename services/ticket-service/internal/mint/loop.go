package mint

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/ticket"
	"github.com/littlevote/littlevote/services/ticket-service/internal/ballots"
	"github.com/littlevote/littlevote/services/ticket-service/internal/history"
	"github.com/littlevote/littlevote/services/ticket-service/internal/ledger"
	"github.com/littlevote/littlevote/services/ticket-service/internal/lock"
)

const (
	// maxSleep bounds the wait for a rotation, so that a jump of the ledger's clock is noticed.
	maxSleep = time.Second
	// idleSleep is the wait while there is no ledger; a wake-up ends it.
	idleSleep = time.Second
	// failedSleep is the wait after a call that failed.
	failedSleep = 100 * time.Millisecond
	// lostSleep is the wait after another replica was quicker.
	lostSleep = 10 * time.Millisecond
)

// loop keeps the tickets of one ballot.
type loop struct {
	m      *Minter
	ballot string

	// Of what is missing.
	missing      bool
	missingSince time.Time
	missingAfter int64 // the number of the last ticket at that time
	missingIn    epoch.Ledger

	// Of what this loop has minted.
	fillsIn  bool  // without the lock, since nobody else minted
	lastMint int64 // number

	// The fence to mint under, for one hold in one epoch.
	hold   *lock.Hold
	holdIn epoch.Ledger
	fence  int64

	recorded [2]string // versions of the tickets that were last given to the history
	failing  bool
	without  bool // no ticket is current, as far as could be seen
}

func (l *loop) run(ctx context.Context) {
	defer l.lacks(false)
	defer l.m.metrics.saw(l.ballot, redisledger.TicketState{})
	for ctx.Err() == nil {
		woken := l.m.awake()
		sleep := l.step(ctx)
		if sleep <= 0 {
			continue
		}
		timer := time.NewTimer(sleep)
		select {
		case <-ctx.Done():
		case <-woken:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// step looks at the tickets once, mints one if that is due, and returns when to look again.
func (l *loop) step(ctx context.Context) time.Duration {
	b, known := l.m.Ballots.Get(l.ballot)
	if !known {
		return idleSleep
	}
	in, state, err := l.m.Ledger.Ticket(ctx, l.ballot)
	if err != nil {
		l.lacks(true)
		return l.failed(ctx, err)
	}
	l.failing = false
	if b.Closed(state.Now) {
		l.lacks(false)
		return maxSleep
	}
	l.lacks(!state.Usable())
	l.m.metrics.saw(l.ballot, state)
	hold := l.m.Lock.Hold()
	if hold != nil && state.Newest != nil {
		l.record(ctx, in, *state.Newest)
	}
	if state.Usable() && state.Successor != "" {
		l.missing = false
		l.fillsIn = l.fillsIn && state.LastNumber == l.lastMint
		return min(maxSleep, state.Newest.ExpiresAt.Sub(state.Now))
	}
	l.noteMissing(in, state)
	switch {
	case hold != nil:
		l.fillsIn = false
		l.adoptFence(in, hold, stored(state))
		return l.mint(ctx, in, b, state, hold, l.fence)
	case l.fillsIn || anybodys(in, state) || time.Since(l.missingSince) >= l.m.LockTTL:
		return l.mint(ctx, in, b, state, nil, stored(state))
	default:
		return min(maxSleep, l.m.LockTTL-time.Since(l.missingSince))
	}
}

// anybodys says that the missing ticket need not be left to the holder of the lock.
func anybodys(in epoch.Ledger, state redisledger.TicketState) bool {
	return in.Mode == epoch.Postgres || state.LastNumber == 0
}

// lacks keeps count of the ballots without a current ticket.
func (l *loop) lacks(without bool) {
	if without != l.without {
		l.without = without
		l.m.missing.Add(2*truth(without) - 1)
	}
}

// noteMissing remembers since when the ticket after the last one has been missing, on our own clock.
func (l *loop) noteMissing(in epoch.Ledger, state redisledger.TicketState) {
	l.fillsIn = l.fillsIn && l.missingIn == in && state.LastNumber == l.lastMint
	if l.missing && l.missingIn == in && l.missingAfter == state.LastNumber {
		return
	}
	l.missing, l.missingSince = true, time.Now()
	l.missingIn, l.missingAfter = in, state.LastNumber
}

// adoptFence chooses the fence of a new hold: the lock's own, or one more than the ballot has seen, should the lock's
// store have forgotten its count or be another than before. Without a lock there is nothing to fence.
func (l *loop) adoptFence(in epoch.Ledger, hold *lock.Hold, stored int64) {
	if l.hold == hold && l.holdIn == in && hold.Fence() != 0 {
		return
	}
	l.hold, l.holdIn = hold, in
	l.fence = stored
	if hold.Fence() != 0 {
		l.fence = max(hold.Fence(), stored+1)
	}
}

// mint proposes the missing ticket; hold is nil for one who fills in.
func (l *loop) mint(
	ctx context.Context, in epoch.Ledger, b ballots.Ballot, state redisledger.TicketState, hold *lock.Hold, fence int64,
) time.Duration {
	begin := state.Now
	if state.Usable() {
		begin = state.Newest.ExpiresAt
	}
	claims := ticket.Claims{
		Ballot: l.ballot, Epoch: in.Epoch, Number: state.LastNumber + 1, Fence: fence,
		IssuedAt: state.Now, ExpiresAt: begin.Add(b.Interval),
	}
	proposal := redisledger.Mint{
		Number: claims.Number, Version: claims.Version(), Value: l.m.Keys.MintAs(b.Form, claims),
		Cap: b.Cap, Interval: b.Interval, Fence: fence, Shown: b.Form == ticket.UUID,
	}
	if hold != nil && !hold.Valid() { // the last moment to notice
		return lostSleep
	}
	ctx, span := l.startSpan(ctx, in, proposal.Version)
	sent := time.Now()
	done, created, expires, err := l.m.Ledger.Mint(ctx, in, l.ballot, proposal)
	l.m.metrics.latency.Record(ctx, time.Since(sent).Seconds())
	endSpan(span, done, err)
	if err != nil {
		return l.failed(ctx, err)
	}
	switch done {
	case redisledger.MintDone:
		if hold == nil && !l.fillsIn && !anybodys(in, state) {
			l.m.Log.WarnContext(ctx, "minted without the producer lock, since nobody else did", "ballot", l.ballot,
				"version", proposal.Version)
		}
		l.tell(ctx, b, proposal.Version, state.Now)
		l.fillsIn = hold == nil
		l.lastMint = proposal.Number
		l.m.metrics.minted.Add(ctx, 1)
		l.record(ctx, in, redisledger.Ticket{
			Value: proposal.Value, Version: proposal.Version, Cap: proposal.Cap, CreatedAt: created, ExpiresAt: expires,
		})
		return 0
	case redisledger.MintFenced:
		if hold != nil {
			hold.Resign()
		}
	}
	return lostSleep
}

// tell logs a mint, by the clock of the ledger, as Tiny Vote did; for its ballot, and for others only where everything is logged.
func (l *loop) tell(ctx context.Context, b ballots.Ballot, version string, at time.Time) {
	level := slog.LevelDebug
	if b.Form == ticket.UUID {
		level = slog.LevelInfo
	}
	l.m.Log.Log(ctx, level, "create ticket success, "+at.Format("15:04:05.000"), "ballot", l.ballot, "version", version)
}

// record gives a ticket to the history, unless that was just done. An epoch in Postgres keeps its history itself.
func (l *loop) record(ctx context.Context, in epoch.Ledger, t redisledger.Ticket) {
	if in.Mode == epoch.Postgres || t.Version == l.recorded[0] || t.Version == l.recorded[1] {
		return
	}
	l.recorded[1], l.recorded[0] = l.recorded[0], t.Version
	l.m.History.Add(ctx, history.Ticket{Ballot: l.ballot, Ticket: t})
}

func (l *loop) failed(ctx context.Context, err error) time.Duration {
	if !l.failing && ctx.Err() == nil && !errors.Is(err, ledger.ErrOver) {
		l.m.Log.WarnContext(ctx, "create ticket failed, "+err.Error(), "ballot", l.ballot)
		l.failing = true
	}
	return failedSleep
}

// stored is the highest fence in the ballot's tickets.
func stored(state redisledger.TicketState) int64 {
	highest := fenceOf(state.Successor)
	if state.Newest != nil {
		highest = max(highest, fenceOf(state.Newest.Version))
	}
	return highest
}

// fenceOf reads the last part of a version; 0 if there is none.
func fenceOf(version string) int64 {
	fence, err := strconv.ParseInt(version[strings.LastIndexByte(version, '.')+1:], 10, 64)
	if err != nil {
		return 0
	}
	return fence
}
