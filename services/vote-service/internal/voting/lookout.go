package voting

import (
	"context"
	"errors"
	"regexp"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/littlevote/littlevote/libs/pgledger"
)

const (
	absentFor   = time.Second            // so long a ballot that is not there is not looked for again
	giveUpFor   = 5 * time.Second        // so long none is looked for after Postgres did not answer
	lookTimeout = 250 * time.Millisecond // a vote on a ballot that is not known yet waits no longer; others may wait with it
	maxAbsent   = 10_000                 // names that are remembered as absent
	maxLooking  = 8                      // names that are looked for at the same time
)

var ballotName = regexp.MustCompile(`^([a-z0-9-]{1,32}\.)?[a-z0-9-]{1,64}$`)

// lookOut bounds what asking for single ballots costs.
type lookOut struct {
	flight  singleflight.Group
	looking chan struct{}

	mu     sync.Mutex
	absent map[string]time.Time // when it was found absent
	away   time.Time            // when Postgres did not answer
}

func newLookOut() lookOut {
	return lookOut{looking: make(chan struct{}, maxLooking), absent: map[string]time.Time{}}
}

// renew reads a ballot that is not known, or may be another than it was: nil says that what is known of it is new
// enough to answer by.
func (d *Ballots) renew(ctx context.Context, name string) *refusal {
	if !ballotName.MatchString(name) || d.look.isAbsent(name) {
		return nil
	}
	if d.look.isAway() {
		return &refusedAway
	}
	_, err, _ := d.look.flight.Do(name, func() (any, error) { return nil, d.readOne(context.WithoutCancel(ctx), name) })
	switch {
	case errors.Is(err, errBusy):
		return &refusedFull
	case err != nil:
		return &refusedAway
	}
	return nil
}

// errBusy says that too many ballots are looked for at once.
var errBusy = errors.New("too many unknown ballots are asked for")

func (d *Ballots) readOne(ctx context.Context, name string) error {
	if d.look.isAbsent(name) {
		return nil // found out since
	}
	select {
	case d.look.looking <- struct{}{}:
	default:
		return errBusy
	}
	defer func() { <-d.look.looking }()
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	found, err := d.store.BallotNamed(ctx, name)
	if errors.Is(err, pgledger.ErrUnknownBallot) {
		d.look.noteAbsent(name)
		return nil
	}
	if err != nil {
		d.log.WarnContext(ctx, "a ballot cannot be read now", "ballot", name, "error", err)
		d.look.noteAway()
		return err
	}
	d.put(found)
	return nil
}

func (l *lookOut) isAbsent(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, found := l.absent[name]
	return found && time.Since(at) < absentFor
}

func (l *lookOut) noteAbsent(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.absent) >= maxAbsent {
		clear(l.absent)
	}
	l.absent[name] = time.Now()
}

func (l *lookOut) isAway() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.away) < giveUpFor
}

func (l *lookOut) noteAway() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = time.Now()
}
