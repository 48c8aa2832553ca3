package limit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/identity"
	"github.com/littlevote/littlevote/gateway/internal/visit"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// Rate is how many requests a second are allowed in the long run, and how many at once after a pause. Without PerSecond there is
// no limit.
type Rate struct{ PerSecond, Burst int }

// Config says what is allowed.
type Config struct {
	Address, Network, Voter, Tenant Rate

	Proxies  visit.Proxies
	Patience time.Duration // for Redis
}

// callers bounds whom a process remembers.
const callers = 100_000

// Limiter keeps the limits. It is safe for concurrent use.
type Limiter struct {
	cfg     Config
	shared  *shared // nil: there is no Redis
	alone   *alone
	refused *lru.Cache[string, time.Time] // until when
	counter metric.Int64Counter
	now     func() time.Time
}

// New returns a limiter; rdb may be nil. Close ends it.
func New(cfg Config, rdb redis.UniversalClient, meter metric.Meter, log *slog.Logger) (*Limiter, error) {
	refused, err := lru.New[string, time.Time](callers)
	if err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	counter, err := meter.Int64Counter("littlevote.gateway.limited",
		metric.WithUnit("{request}"), metric.WithDescription("Requests that were refused as RATE_LIMITED at the gateway's door, by limit."))
	if err != nil {
		return nil, err
	}
	l := &Limiter{cfg: cfg, refused: refused, counter: counter, now: time.Now}
	if l.alone, err = newAlone(); err != nil {
		return nil, err
	}
	if rdb != nil {
		l.shared = newShared(rdb, cfg.Patience, log)
	}
	return l, nil
}

// Close waits for what is on its way to Redis, which has little time.
func (l *Limiter) Close() {
	if l.shared != nil {
		l.shared.close()
	}
}

// Degraded says in words for the operator that the limits are kept by each process alone; empty if they are not.
func (l *Limiter) Degraded() string {
	if l.shared != nil && l.shared.parted() {
		return "limits at the door are kept by each gateway alone: Redis does not answer"
	}
	return ""
}

// of is one limit of one caller.
type of struct {
	kind string // from a closed set
	key  string
	rate Rate
}

// Known refuses who has been refused before, and whose time has not come; it asks nobody, and takes nothing. Only the address
// is looked at: nobody has said yet who it is.
func (l *Limiter) Known(r *http.Request) *answer.Refusal {
	if l.refused.Len() == 0 {
		return nil
	}
	return l.known(r.Context(), l.places(nil, r))
}

// Take takes n requests from the limits of who sends, as ctx and the headers tell, or refuses.
func (l *Limiter) Take(ctx context.Context, r *http.Request, n int) *answer.Refusal {
	limits := l.limits(ctx, r)
	if len(limits) == 0 {
		return nil
	}
	if refusal := l.known(ctx, limits); refusal != nil {
		return refusal
	}
	at, wait := l.take(ctx, limits, n)
	if wait == 0 {
		return nil
	}
	if n == 1 { // else there may be enough for less
		l.refused.Add(limits[at].key, l.now().Add(wait))
	}
	return l.refuse(ctx, limits[at], wait)
}

func (l *Limiter) take(ctx context.Context, limits []of, n int) (int, time.Duration) {
	if l.shared != nil {
		if at, wait, ok := l.shared.take(ctx, limits, n); ok {
			return at, wait
		}
	}
	return l.alone.take(limits, n, l.now())
}

// known refuses by one of the limits, if it is known to be used up.
func (l *Limiter) known(ctx context.Context, limits []of) *answer.Refusal {
	for _, one := range limits {
		until, refused := l.refused.Get(one.key)
		if !refused {
			continue
		}
		if wait := until.Sub(l.now()); wait > 0 {
			return l.refuse(ctx, one, wait)
		}
		l.refused.Remove(one.key)
	}
	return nil
}

func (l *Limiter) refuse(ctx context.Context, by of, wait time.Duration) *answer.Refusal {
	l.counter.Add(ctx, 1, metric.WithAttributes(attribute.String("limit", by.kind)))
	return &answer.Refusal{
		Code: statusv1.Code_CODE_RATE_LIMITED, Text: answer.RateLimited, Retryable: true, RetryAfter: max(wait, time.Millisecond),
	}
}

// limits are those that hold for a request.
func (l *Limiter) limits(ctx context.Context, r *http.Request) []of {
	const most = 4
	limits := l.places(make([]of, 0, most), r)
	who := identity.From(ctx)
	if l.cfg.Voter.PerSecond > 0 && who.Voter != "" {
		limits = append(limits, of{"voter", name('v', string(who.Tenant)+"\x00"+who.Voter), l.cfg.Voter})
	}
	if l.cfg.Tenant.PerSecond > 0 {
		limits = append(limits, of{"tenant", name('t', string(who.Tenant)), l.cfg.Tenant})
	}
	return limits
}

// places appends the limits of where a request comes from.
func (l *Limiter) places(limits []of, r *http.Request) []of {
	if l.cfg.Address.PerSecond == 0 && l.cfg.Network.PerSecond == 0 {
		return limits
	}
	from := l.cfg.Proxies.From(r.Context(), r.Header)
	if !from.IsValid() {
		return limits
	}
	if l.cfg.Address.PerSecond > 0 {
		limits = append(limits, of{"address", name('a', visit.Host(from).String()), l.cfg.Address})
	}
	if l.cfg.Network.PerSecond > 0 && from.Is6() {
		const network = 48
		limits = append(limits, of{"network", name('n', netip.PrefixFrom(from, network).Masked().String()), l.cfg.Network})
	}
	return limits
}

// name bounds the length of what a limit goes by, and keeps addresses and names of people out of keys.
func name(kind byte, who string) string {
	const enough = 16 // bytes
	sum := sha256.Sum256([]byte(who))
	return string(kind) + ":" + hex.EncodeToString(sum[:enough])
}
