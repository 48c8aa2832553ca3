package doctor

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// Clocks that differ by more than this. A vote's time is that of one clock, Redis's, or Postgres's while Redis is away: what is
// between the two moves tickets and opening hours when the epoch changes.
const (
	clockWarning = 500 * time.Millisecond
	clockBroken  = 30 * time.Second
)

// reading is how far a clock is ahead of this machine's, give or take half the time that the question took.
type reading struct {
	name   string
	ahead  time.Duration
	within time.Duration
}

// readClock compares a clock with this machine's, several times, and keeps the quickest answer.
func readClock(name string, here func() time.Time, ask func() (time.Time, error)) (reading, error) {
	best := reading{name: name, within: time.Hour}
	for range 5 {
		before := here()
		there, err := ask()
		if err != nil {
			return reading{}, err
		}
		half := here().Sub(before) / 2
		if half < best.within {
			best.ahead, best.within = there.Sub(before.Add(half)), half
		}
	}
	return best, nil
}

func examineClocks(ctx context.Context, s *settings, clock func() time.Time) []Finding {
	l := &list{area: "clocks"}
	ctx, cancel := context.WithTimeout(ctx, 2*storeTimeout)
	defer cancel()
	var all []reading
	if s.Redis.URL != "" {
		if rdb, err := redisledger.Connect(redisSettings(s), slog.New(slog.DiscardHandler)); err == nil {
			defer rdb.Close()
			if r, err := readClock("Redis", clock, func() (time.Time, error) { return rdb.Time(ctx).Result() }); err == nil {
				all = append(all, r)
			}
		}
	}
	if s.Postgres.URL != "" {
		if pool, err := pgledger.Open(ctx, s.Postgres); err == nil {
			defer pool.Close()
			r, err := readClock("Postgres", clock, func() (now time.Time, err error) {
				return now, pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now)
			})
			if err == nil {
				all = append(all, r)
			}
		}
	}
	l.judgeClocks(all) // who does not answer at all is told of elsewhere
	return l.all
}

func (l *list) judgeClocks(all []reading) {
	for _, r := range all {
		l.judgeClock(r.name+"'s clock", "this machine's", r.ahead, r.within)
	}
	if len(all) == 2 {
		l.judgeClock(all[0].name+"'s clock", all[1].name+"'s", all[0].ahead-all[1].ahead, all[0].within+all[1].within)
	}
}

func (l *list) judgeClock(one, other string, ahead, within time.Duration) {
	apart := max(ahead.Abs()-within, 0)
	direction := "ahead of"
	if ahead < 0 {
		direction = "behind"
	}
	what := fmt.Sprintf("%s is %v %s %s", one, ahead.Abs().Round(time.Millisecond), direction, other)
	const mend = "run chrony or another NTP client on every machine: chronyc tracking"
	switch {
	case apart > clockBroken:
		l.add(Broken, "offset", what, fmt.Sprintf("ids of batches carry the time of the machine that makes them, and are refused when they are %v off", redisledger.ClockBound), mend, "G5", "G6")
	case apart > clockWarning:
		l.add(Warning, "offset", what, "tickets and opening hours go by Redis's clock, and by Postgres's while Redis is away: they jump by that much", mend, "G5", "G6")
	default:
		l.ok("offset", "%s", what)
	}
}
