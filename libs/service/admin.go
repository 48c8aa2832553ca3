package service

import (
	"context"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Admin serves the operator: metrics, profiles, and the probes with the reasons of what fails. Its port has neither TLS nor
// authentication and is not for strangers.
type Admin struct{ *Server }

// NewAdmin listens at once, so that Addr is known; nothing is answered before Run.
func NewAdmin(listen string, health *Health, metrics *prometheus.Registry) (*Admin, error) {
	server, err := NewServer(listen, nil, health, func(context.Context) http.Handler {
		return adminMux(health, metrics)
	})
	if err != nil {
		return nil, err
	}
	return &Admin{server}, nil
}

// adminMux leaves out pprof's cmdline: there may be passwords in the flags.
func adminMux(health *Health, metrics *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mountProbes(mux, health.probes(withVersion))
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{
		Registry: metrics,
		// Exemplars, which lead from a figure to a trace, are in this form only; who does not ask for it gets the older one.
		EnableOpenMetrics: true,
	}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

func withVersion(report Report) Report {
	report.Version = Version()
	return report
}
