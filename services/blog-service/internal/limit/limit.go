// Package limit bounds how often somebody may do something, over all instances: GCRA in Redis, by Redis's clock, so that no
// window begins anew for everybody at once. A limit is so many a minute, and that many at once after a pause.
//
// Without Redis nothing is let through: what is limited here needs a session, which is in Redis as well.
package limit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/services/blog-service/internal/refusal"
)

// Limiter counts. It is safe for concurrent use.
type Limiter struct{ gcra *redis_rate.Limiter }

// New returns a limiter on a Redis.
func New(rdb redis.UniversalClient) *Limiter {
	return &Limiter{gcra: redis_rate.NewLimiter(rdb)}
}

// Rule is one limit.
type Rule struct {
	What string // names the limit
	Who  string // of whom it is; empty means that the rule does not hold
	Rate int    // a minute
}

// Take takes one of each rule's allowance, in their order, or refuses: RATE_LIMITED with how long to wait, or UNAVAILABLE.
// What an earlier rule gave is not given back, so a caller who is refused goes on paying.
func (l *Limiter) Take(ctx context.Context, rules ...Rule) error {
	for _, r := range rules {
		if r.Who == "" {
			continue
		}
		got, err := l.gcra.Allow(ctx, "blog:"+r.What+":"+digest(r.Who), redis_rate.PerMinute(r.Rate))
		if err != nil {
			return fmt.Errorf("limit %s: %w: %w", r.What, err, refusal.Unavailable("the limits cannot be checked"))
		}
		if got.Allowed == 0 {
			return refusal.RateLimited(max(got.RetryAfter, time.Millisecond))
		}
	}
	return nil
}

// digest keeps names and addresses of people out of Redis's keys, and bounds their length.
func digest(who string) string {
	sum := sha256.Sum256([]byte(who))
	return hex.EncodeToString(sum[:16])
}

// Address is who stands behind an IP address, as far as that can be told: with IPv6 everybody has a whole /64. Empty for an
// unknown one; an error says that it is none.
func Address(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return "", refusal.Invalid("address: expected an IP address")
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String(), nil
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return "", refusal.Invalid("address: expected an IP address")
	}
	return prefix.String(), nil
}
