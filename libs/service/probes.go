package service

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
)

// Probes serves /readyz (200 or 503, JSON) and /livez, /healthz and /health (200 while the process serves at all), without the
// reasons of failing checks: for ports that strangers reach.
func (h *Health) Probes() http.Handler { return h.probes(withoutReasons) }

func (h *Health) probes(show func(Report) Report) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		report := h.Report(r.Context())
		code := http.StatusOK
		if !report.Ready {
			code = http.StatusServiceUnavailable
		}
		writeJSON(w, code, show(report))
	})
	for _, path := range []string{"/livez", "/healthz", "/health"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
		})
	}
	return mux
}

// mountProbes puts the probes on a larger mux.
func mountProbes(mux *http.ServeMux, probes http.Handler) {
	for _, path := range []string{"/readyz", "/livez", "/healthz", "/health"} {
		mux.Handle(path, probes)
	}
}

// withoutReasons hides what a check complains of: addresses and names inside.
func withoutReasons(report Report) Report {
	checks := make(map[string]string, len(report.Checks))
	for name, result := range report.Checks {
		if result != resultOK {
			result = "failing"
		}
		checks[name] = result
	}
	report.Checks = checks
	return report
}

func writeJSON(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // The client has gone; there is nobody to tell.
}

// grpcHealth answers grpc.health.v1 for the process ("") and for each mounted service.
type grpcHealth struct {
	health *Health
	names  map[string]bool
}

func (g grpcHealth) Check(ctx context.Context, req *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	if req.Service != "" && !g.names[req.Service] {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("unknown service"))
	}
	if g.health.Report(ctx).Ready {
		return &grpchealth.CheckResponse{Status: grpchealth.StatusServing}, nil
	}
	return &grpchealth.CheckResponse{Status: grpchealth.StatusNotServing}, nil
}
