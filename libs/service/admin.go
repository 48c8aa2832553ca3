package service

import (
	"context"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Admin serves the operator: metrics, profiles, and the probes with the reasons of what fails. Its port has no authentication
// and is not for strangers.
type Admin struct {
	server *server
	health *Health
}

// NewAdmin listens at once, so that Addr is known; nothing is answered before Run.
func NewAdmin(listen string, health *Health, metrics *prometheus.Registry) (*Admin, error) {
	server, err := newServer(listen, nil, func(context.Context) http.Handler {
		return adminMux(health, metrics)
	})
	if err != nil {
		return nil, err
	}
	return &Admin{server: server, health: health}, nil
}

// Addr is the address it listens on, with the port in numbers.
func (a *Admin) Addr() string { return a.server.addr() }

// Run serves until ctx ends. It is called once.
func (a *Admin) Run(ctx context.Context) error { return a.server.run(ctx, a.health.Drain) }

// Close gives the port back where Run is not going to be called.
func (a *Admin) Close() error { return a.server.close() }

func adminMux(health *Health, metrics *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mountProbes(mux, health.probes(func(report Report) Report { return report }))
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{Registry: metrics}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
