package voting

import (
	"context"
	"errors"
	"regexp"
	"sync"
	"time"

	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/loader"
)

const (
	giveUpFor   = 5 * time.Second        // so long none is looked for after Postgres did not answer
	lookTimeout = 250 * time.Millisecond // a vote on a ballot that is not known yet waits no longer; others may wait with it
	looks       = 2                      // statements at once
)

var lookConfig = loader.Config{Span: "look up ballots", Workers: looks, Batch: 1000, Queue: 10_000, Timeout: lookTimeout}

var ballotName = regexp.MustCompile(`^([a-z0-9-]{1,32}\.)?[a-z0-9-]{1,64}$`)

// lookOut asks Postgres for single ballots. What is not there is not remembered: it may be made, and voted on, the next moment.
type lookOut struct {
	asked *loader.Loader[string, struct{}]

	mu   sync.Mutex
	away time.Time // when Postgres did not answer
}

// renew reads a ballot that is not known, or may be another than it was: nil says that what is known of it now is not older than
// the question.
func (d *Ballots) renew(ctx context.Context, name string) *refusal {
	if !ballotName.MatchString(name) || faultpoint.Mutant("directory-trusted") {
		return nil
	}
	if d.look.isAway() {
		return &refusedAway
	}
	_, err := d.look.asked.Load(ctx, []string{name}, true)
	switch {
	case errors.Is(err, loader.ErrOverloaded):
		return &refusedFull
	case err != nil:
		return &refusedAway
	}
	return nil
}

// readNamed takes in what Postgres says of ballots.
func (d *Ballots) readNamed(ctx context.Context, names []string) (map[string]struct{}, error) {
	found, err := d.store.BallotsNamed(ctx, names)
	if err != nil {
		d.log.WarnContext(ctx, "ballots could not be looked up", "error", err)
		d.look.noteAway()
		return nil, err
	}
	d.put(found...)
	return map[string]struct{}{}, nil // they are in the directory
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
