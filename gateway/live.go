package gateway

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/littlevote/littlevote/gateway/internal/httpapi"
	"github.com/littlevote/littlevote/gateway/internal/live"
	"github.com/littlevote/littlevote/libs/config"
)

// Live is the group "gateway.live": subscriptions.
type Live struct {
	Interval         time.Duration `key:"interval" help:"how often a ballot with subscribers is read, and how long there is at least between two updates, 10ms to 10s"`
	Patience         time.Duration `key:"patience" help:"how long subscribers are kept while no counts can be read, 0s to 10m"`
	WriteTimeout     time.Duration `key:"write-timeout" help:"how long a message to a subscriber may take, 100ms to 5m; then its connection is closed"`
	MaxSubscriptions int           `key:"max-subscriptions" help:"subscriptions at the same time, and connections for them, 0 to 1000000; more are refused as OVERLOADED"`
	MaxPerConnection int           `key:"max-per-connection" help:"subscriptions of one WebSocket, 1 to 10000"`
	Origins          []string      `key:"origins" help:"whose pages may open WebSockets beside the gateway's own, such as https://www.example.org; anything but browsers needs none"`
}

func defaultLive() Live {
	return Live{
		Interval: 100 * time.Millisecond, Patience: 10 * time.Second, WriteTimeout: 10 * time.Second,
		MaxSubscriptions: 10_000, MaxPerConnection: 100,
	}
}

// Validate checks the limits.
func (l Live) Validate() error {
	return errors.Join(
		config.Between("interval", l.Interval, 10*time.Millisecond, 10*time.Second),
		config.Between("patience", l.Patience, 0, 10*time.Minute),
		config.Between("write-timeout", l.WriteTimeout, 100*time.Millisecond, 5*time.Minute),
		config.Between("max-subscriptions", l.MaxSubscriptions, 0, 1_000_000),
		config.Between("max-per-connection", l.MaxPerConnection, 1, 10_000),
		validOrigins(l.Origins),
	)
}

// validOrigins refuses what is no origin, and what would be read as a pattern.
func validOrigins(origins []string) error {
	for _, origin := range origins {
		parsed, err := url.Parse(origin)
		if err != nil || parsed.Host == "" || origin != parsed.Scheme+"://"+parsed.Host || strings.ContainsAny(origin, `*?[\`) ||
			parsed.Scheme != "https" && parsed.Scheme != "http" {
			return config.Errorf("origins", "expected origins such as https://www.example.org, without a path, got %q", origin)
		}
	}
	return nil
}

const (
	// initTimeout is how long a WebSocket may stay without being initialised.
	initTimeout = 5 * time.Second
	// pingEvery is how often it is looked whether the client of a WebSocket is there; proxies close what is silent for a minute.
	pingEvery = 20 * time.Second
	// lookEvery is how often it is looked whether the token of a subscriber is still good.
	lookEvery = time.Minute
)

func (l Live) streams(origins []string) httpapi.Streams {
	return httpapi.Streams{
		Most: l.MaxSubscriptions, PerSocket: l.MaxPerConnection, WriteTimeout: l.WriteTimeout, InitTimeout: initTimeout,
		PingEvery: pingEvery, LookEvery: lookEvery, Origins: slices.Concat(l.Origins, origins),
	}
}

// hub returns the bounds of subscriptions, each read of which may take as long as any other.
func (l Live) hub(timeout time.Duration) live.Config {
	return live.Config{Interval: l.Interval, Timeout: timeout, Patience: l.Patience, Most: l.MaxSubscriptions}
}

// watchStreams shows how many subscriptions there are, and connections for them.
func watchStreams(meter metric.Meter, subscriptions, connections func() int) error {
	subscribed, err := meter.Int64ObservableGauge("littlevote.gateway.subscriptions",
		metric.WithUnit("{subscription}"), metric.WithDescription("Subscriptions that are open."))
	if err != nil {
		return err
	}
	connected, err := meter.Int64ObservableGauge("littlevote.gateway.streams",
		metric.WithUnit("{connection}"), metric.WithDescription("WebSockets and event streams that are open."))
	if err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, observer metric.Observer) error {
		observer.ObserveInt64(subscribed, int64(subscriptions()))
		observer.ObserveInt64(connected, int64(connections()))
		return nil
	}, subscribed, connected)
	return err
}
