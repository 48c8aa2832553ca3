package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/scope"
	"github.com/littlevote/littlevote/tools/internal/voter"
)

// Crowd is voters who vote one vote after the other, and onlookers who read counts whether votes flow or not, until they are stopped.
type Crowd struct {
	History *checker.History

	ballot      string
	gateways    []*voter.Client
	stopped     chan struct{}
	once        sync.Once
	all         sync.WaitGroup
	failedReads atomic.Int64
	unhelped    atomic.Int64
	uniques     atomic.Int64
}

// onlookers is how many read beside the voters.
const onlookers = 4

// Gather starts a crowd on one ballot. What each voter does follows from the seed; when it does it follows from the system.
func Gather(t scope.Scope, gateways []*voter.Client, ballot string, voters int, seed uint64) *Crowd {
	t.Helper()
	c := &Crowd{History: &checker.History{}, ballot: ballot, gateways: gateways, stopped: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	for i := range voters + onlookers {
		s := &session{
			number: i, random: rand.New(rand.NewPCG(seed, uint64(i))), gateways: gateways, history: c.History, crowd: c,
		}
		turn := s.turn
		if i >= voters {
			turn = s.onlook
		}
		c.all.Go(func() {
			for !c.over() {
				turn(ctx)
			}
		})
	}
	t.Cleanup(func() {
		cancel() // only where something failed before the crowd was stopped
		c.Stop()
	})
	return c
}

func (c *Crowd) over() bool {
	select {
	case <-c.stopped:
		return true
	default:
		return false
	}
}

// Stop lets every voter finish the vote that is on its way.
func (c *Crowd) Stop() {
	c.once.Do(func() { close(c.stopped) })
	c.all.Wait()
}

func (c *Crowd) readFailed() { c.failedReads.Add(1) }

func (c *Crowd) beyond(helped bool) {
	if !helped {
		c.unhelped.Add(1)
	}
}

// FailedReads is how many reads were refused.
func (c *Crowd) FailedReads() int64 { return c.failedReads.Load() }

// Unhelped is how many votes with a key were still unknown after one retry.
func (c *Crowd) Unhelped() int64 { return c.unhelped.Load() }

// Acknowledged is how many votes have been so far.
func (c *Crowd) Acknowledged() int { return c.History.Number(checker.Counted) }

// AwaitMore waits until so many more votes have been acknowledged.
func (c *Crowd) AwaitMore(t scope.Scope, votes int, patience time.Duration) {
	t.Helper()
	from := c.Acknowledged()
	scope.Eventually(t, patience, func() error {
		if n := c.Acknowledged() - from; n < votes {
			return fmt.Errorf("%d of %d votes acknowledged; refused or never sent: %d, unknown: %d",
				n, votes, c.History.Number(checker.None), c.History.Number(checker.Unknown))
		}
		return nil
	})
}

// resolvers is how many votes are asked about at the same time.
const resolvers = 8

// Resolve sends every vote with a key whose end is unknown again under its key, until it counts, and returns how many are left.
func (c *Crowd) Resolve(ctx context.Context, patience time.Duration) int {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	open := make(chan checker.Attempt)
	var left atomic.Int64
	var all sync.WaitGroup
	for i := range resolvers {
		v := voter.Voter{Client: c.gateways[i%len(c.gateways)], Ballot: c.ballot, History: c.History}
		all.Go(func() {
			for a := range open {
				v.Ballot = a.Ballot
				if !v.Resolve(ctx, a) {
					left.Add(1)
				}
			}
		})
	}
	for _, a := range c.History.Unresolved() {
		open <- a
	}
	close(open)
	all.Wait()
	return int(left.Load())
}
