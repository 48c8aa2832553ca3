package verify

import (
	"context"
	"sync"
	"time"
)

const (
	markEvery   = 50 * time.Millisecond // how finely lag is told
	sampleEvery = 500 * time.Millisecond
)

// Lag tells how far one count runs behind another: the age of the oldest acknowledged vote that is not yet persisted.
// It is an upper bound, at most a mark's distance above the truth.
type Lag struct {
	marks   []mark // in order; the first is at or before the persisted count
	newest  time.Duration
	highest time.Duration
}

type mark struct {
	at           time.Time
	acknowledged int64
}

// Acknowledge marks how many votes are acknowledged at a moment.
func (l *Lag) Acknowledge(at time.Time, total int64) {
	l.marks = append(l.marks, mark{at, total})
}

// Persist takes the number of votes persisted at a moment.
func (l *Lag) Persist(at time.Time, total int64) {
	for len(l.marks) > 1 && l.marks[1].acknowledged <= total {
		l.marks = l.marks[1:]
	}
	l.newest = 0
	if len(l.marks) > 1 { // the vote that came after the first mark is missing
		l.newest = at.Sub(l.marks[0].at)
	}
	l.highest = max(l.highest, l.newest)
}

// Highest is the greatest lag seen.
func (l *Lag) Highest() time.Duration { return l.highest }

// Watch samples until ctx ends and gives the highest lag. persisted tells how many votes have been persisted since the
// account was opened.
func Watch(ctx context.Context, account *Account, persisted func(context.Context) (int64, error)) (time.Duration, error) {
	watcher := watcher{account: account}
	watcher.mark()
	var marking sync.WaitGroup
	marking.Go(func() {
		for sleep(ctx, markEvery) == nil {
			watcher.mark()
		}
	})
	defer marking.Wait()
	for sleep(ctx, sampleEvery) == nil {
		total, err := persisted(ctx)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return watcher.lag.Highest(), err
		}
		watcher.persist(total)
	}
	return watcher.lag.Highest(), nil
}

// watcher shares a Lag between the goroutine that marks and the one that samples, which may wait long for Postgres.
type watcher struct {
	account *Account

	mu  sync.Mutex
	lag Lag
}

func (w *watcher) mark() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lag.Acknowledge(time.Now(), w.account.Acknowledged())
}

func (w *watcher) persist(total int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lag.Persist(time.Now(), total)
}
