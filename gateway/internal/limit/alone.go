package limit

import (
	"fmt"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// alone keeps limits in this process.
type alone struct {
	mu      sync.Mutex // a request takes from all its limits or from none
	buckets *lru.Cache[string, *rate.Limiter]
}

func newAlone() (*alone, error) {
	buckets, err := lru.New[string, *rate.Limiter](callers)
	if err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	return &alone{buckets: buckets}, nil
}

// take returns which limit says to wait longest, and how long; 0 where all have given.
func (a *alone) take(limits []of, n int, now time.Time) (at int, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, one := range limits {
		lacking := float64(min(n, one.rate.Burst)) - a.bucket(one).TokensAt(now)
		if over := time.Duration(lacking / float64(one.rate.PerSecond) * float64(time.Second)); over > wait {
			at, wait = i, over
		}
	}
	if wait > 0 {
		return at, wait
	}
	for _, one := range limits {
		a.bucket(one).AllowN(now, min(n, one.rate.Burst))
	}
	return 0, 0
}

func (a *alone) bucket(of of) *rate.Limiter {
	if known, ok := a.buckets.Get(of.key); ok {
		return known
	}
	made := rate.NewLimiter(rate.Limit(of.rate.PerSecond), of.rate.Burst)
	a.buckets.Add(of.key, made)
	return made
}
