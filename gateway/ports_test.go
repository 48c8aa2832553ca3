package gateway

import (
	"io"
	"net/http"
	"testing"
)

// Profiles and metrics are on the admin port alone, and no dialect has a port of its own that has them.
func TestOuterPortsKeepWhatIsForOperators(t *testing.T) {
	cfg := newServices(t).config(t)
	cfg.Gateway.CastListen, cfg.Gateway.TinyListen = "127.0.0.1:0", "127.0.0.1:0"
	gateway := startOn(t, cfg, testHost(t))
	addresses := []string{gateway.Addr()}
	for _, address := range gateway.DialectAddrs() {
		addresses = append(addresses, address)
	}
	if len(addresses) != 3 {
		t.Fatalf("ports: %v", addresses)
	}
	for _, address := range addresses {
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile?seconds=1", "/debug/pprof/cmdline", "/debug/vars", "/metrics"} {
			response, err := http.Get("http://" + address + path)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if response.StatusCode != http.StatusNotFound {
				t.Errorf("%s%s: %d", address, path, response.StatusCode)
			}
		}
	}
}
