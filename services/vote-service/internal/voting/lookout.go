package voting

import (
	"context"
	"errors"
	"regexp"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/groupcommit"
	"github.com/littlevote/littlevote/libs/tracing"
)

const (
	giveUpFor   = 5 * time.Second        // so long none is looked for after Postgres did not answer
	lookTimeout = 250 * time.Millisecond // a vote on a ballot that is not known yet waits no longer; others may wait with it
	// looks, maxLooked and maxLooking bound what is asked for: statements at once, names in each, and names that wait.
	looks, maxLooked, maxLooking = 2, 1000, 10_000
)

var ballotName = regexp.MustCompile(`^([a-z0-9-]{1,32}\.)?[a-z0-9-]{1,64}$`)

// lookOut asks Postgres for single ballots, many in one statement. What is not there is not remembered: it may be made the next
// moment, and whoever was told so is then told no old news.
type lookOut struct {
	asked *groupcommit.Batcher[*look]

	mu   sync.Mutex
	away time.Time // when Postgres did not answer
}

// look is somebody who waits until a ballot is read anew.
type look struct {
	name string
	span trace.Span // of the call that asks
	done chan error
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
	l := &look{name: name, span: trace.SpanFromContext(ctx), done: make(chan error, 1)}
	switch err := d.look.asked.Put(l); {
	case errors.Is(err, groupcommit.ErrFull):
		return &refusedFull
	case err != nil:
		return &refusedAway
	}
	select {
	case err := <-l.done:
		if err != nil {
			return &refusedAway
		}
		return nil
	case <-ctx.Done():
		return &refusedAway
	}
}

// readNamed answers all who wait for a ballot in a batch.
func (d *Ballots) readNamed(ctx context.Context, batch []*look) {
	ctx, span := tracing.Batch(ctx, "look up ballots", "ballots", batch, func(l *look) trace.Span { return l.span })
	defer span.End()
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	names := make([]string, len(batch))
	for i, l := range batch {
		names[i] = l.name
	}
	found, err := d.store.BallotsNamed(ctx, names)
	if err != nil {
		d.log.WarnContext(ctx, "ballots could not be looked up", "error", err)
		d.look.noteAway()
	} else {
		d.put(found...)
	}
	for _, l := range batch {
		l.done <- err
	}
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
