package servers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/littlevote/littlevote/tools/internal/scope"
)

// healTimeout bounds how long a fault of the network takes to end.
const healTimeout = 10 * time.Second

// Proxy is a way to a server that can be cut, and made slow.
type Proxy struct {
	Address string
	proxy   *toxiproxy.Proxy
}

// NewProxy starts a proxy before a server; an empty address takes a free one.
func NewProxy(t scope.Scope, name, address, upstream string) *Proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	if address == "" {
		address = "127.0.0.1:0"
	}
	p := &Proxy{proxy: toxiproxy.NewProxy(server, name, address, upstream)}
	if err := p.proxy.Start(); err != nil {
		t.Fatalf("proxy before %s: %v", name, err)
	}
	t.Cleanup(p.proxy.Stop)
	p.Address = p.proxy.Listen
	return p
}

// Cut ends all connections and takes no new ones.
func (p *Proxy) Cut() { p.proxy.Stop() }

// Hang lets nothing through in either direction, and says nothing of it.
func (p *Proxy) Hang(t scope.Scope) {
	p.toxic(t, "timeout", "upstream", map[string]int{"timeout": 0})
	p.toxic(t, "timeout", "downstream", map[string]int{"timeout": 0})
}

// Mute lets requests through and no answers.
func (p *Proxy) Mute(t scope.Scope) {
	p.toxic(t, "timeout", "downstream", map[string]int{"timeout": 0})
}

// Reset ends every connection as soon as an answer is on its way, which is lost.
func (p *Proxy) Reset(t scope.Scope) {
	p.toxic(t, "reset_peer", "downstream", map[string]int{"timeout": 0})
}

// Slow delays every answer.
func (p *Proxy) Slow(t scope.Scope, delay time.Duration) {
	p.toxic(t, "latency", "downstream", map[string]int{"latency": int(delay.Milliseconds())})
}

func (p *Proxy) toxic(t scope.Scope, kind, stream string, attributes map[string]int) {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"name": kind + "-" + stream, "type": kind, "stream": stream, "toxicity": 1, "attributes": attributes,
	})
	if err == nil {
		_, err = p.proxy.Toxics.AddToxicJson(bytes.NewReader(text))
	}
	if err != nil {
		t.Fatalf("toxic %s: %v", kind, err)
	}
}

// Redirect leads the way to another server.
func (p *Proxy) Redirect(t scope.Scope, upstream string) {
	t.Helper()
	p.proxy.Stop()
	p.proxy.Upstream = upstream
	if err := p.proxy.Start(); err != nil {
		t.Fatal(err)
	}
}

// Heal makes the way good again. Connections that a fault held end: what they held is late.
func (p *Proxy) Heal(t scope.Scope) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), healTimeout)
	defer cancel()
	p.proxy.Stop()
	p.proxy.Toxics.ResetToxics(ctx)
	if err := p.proxy.Start(); err != nil {
		t.Fatal(fmt.Errorf("proxy before %s: %w", p.proxy.Name, err))
	}
}
