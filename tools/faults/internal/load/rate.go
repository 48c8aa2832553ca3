package load

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/voter"
)

// inFlight bounds the votes of an open load that wait for an answer.
const inFlight = 5000

// Rate is what a load of one kind came to.
type Rate struct {
	Span       time.Duration
	Counted    int
	Refused    int
	Untyped    int // refused without a code of ours
	Unsent     int // not sent, since too many waited
	RefusedP99 time.Duration
}

// Goodput is how many votes were acknowledged a second.
func (r Rate) Goodput() float64 { return r.PerSecond(r.Counted) }

// PerSecond is a number by the second.
func (r Rate) PerSecond(n int) float64 { return float64(n) / r.Span.Seconds() }

// gauge adds up attempts.
type gauge struct {
	mu      sync.Mutex
	rate    Rate
	refused []time.Duration
}

func (g *gauge) add(a checker.Attempt) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch a.Outcome {
	case checker.Counted:
		g.rate.Counted++
	case checker.Unknown:
	case checker.None:
		g.rate.Refused++
		g.refused = append(g.refused, a.Answered.Sub(a.Sent))
		if a.Code == "" || a.Code == voter.NeverSent {
			g.rate.Untyped++
		}
	}
}

func (g *gauge) result(span time.Duration) Rate {
	g.rate.Span = span
	if n := len(g.refused); n > 0 {
		slices.Sort(g.refused)
		g.rate.RefusedP99 = g.refused[n*99/100]
	}
	return g.rate
}

// Closed lets so many voters vote one vote after the other.
func Closed(ctx context.Context, gateways []*voter.Client, history *checker.History, voters int, span time.Duration) Rate {
	g := &gauge{}
	until := time.Now().Add(span)
	var all sync.WaitGroup
	for i := range voters {
		all.Go(func() {
			v := voter.Voter{Client: gateways[i%len(gateways)], Ballot: "main", History: history}
			for time.Now().Before(until) && ctx.Err() == nil {
				_, a := v.TicketAndVote(ctx, "", letter(i))
				g.add(a)
				if a.Outcome != checker.Counted {
					time.Sleep(refusedPause)
				}
			}
		})
	}
	all.Wait()
	return g.result(span)
}

// Open sends so many votes a second, whatever becomes of them.
func Open(ctx context.Context, gateways []*voter.Client, history *checker.History, perSecond float64, span time.Duration) Rate {
	const step = 10 * time.Millisecond
	g := &gauge{}
	slots := make(chan struct{}, inFlight)
	var all sync.WaitGroup
	began, sent := time.Now(), 0
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	for time.Since(began) < span && ctx.Err() == nil {
		<-ticker.C
		for due := int(time.Since(began).Seconds() * perSecond); sent < due; sent++ {
			select {
			case slots <- struct{}{}:
			default:
				g.rate.Unsent++
				continue
			}
			v := voter.Voter{Client: gateways[sent%len(gateways)], Ballot: "main", History: history}
			name := letter(sent)
			all.Go(func() {
				defer func() { <-slots }()
				_, a := v.TicketAndVote(ctx, "", name)
				g.add(a)
			})
		}
	}
	all.Wait()
	return g.result(span)
}
