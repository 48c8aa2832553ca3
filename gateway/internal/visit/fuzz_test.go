package visit

import (
	"net"
	"net/http"
	"net/netip"
	"testing"
)

type connFrom struct {
	net.Conn

	at net.Addr
}

func (c connFrom) RemoteAddr() net.Addr { return c.at }

// Whatever stands in X-Forwarded-For: who is no trusted proxy is believed nothing, and the answer is an address in its one form.
func FuzzForwarded(f *testing.F) {
	for _, seed := range []string{"", "198.51.100.1", "198.51.100.1, 10.0.0.2", "::ffff:198.51.100.1", "fe80::1%eth0", "[2001:db8::1]:80", ",,", "unknown", "10.0.0.1,10.0.0.2"} {
		f.Add(true, seed, seed)
		f.Add(false, seed, "10.0.0.9")
	}
	proxies, err := ParseProxies([]string{"10.0.0.0/8"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, proxied bool, first, second string) {
		peer := netip.MustParseAddr("192.0.2.7")
		if proxied {
			peer = netip.MustParseAddr("10.0.0.1")
		}
		ctx := Connection(t.Context(), connFrom{at: net.TCPAddrFromAddrPort(netip.AddrPortFrom(peer, 1))})
		got := proxies.From(ctx, http.Header{"X-Forwarded-For": {first, second}})
		if !got.IsValid() || got.Zone() != "" || got.Is4In6() || !proxied && got != peer {
			t.Errorf("%q, %q from %s: %s", first, second, peer, got)
		}
		if host := Host(got); !host.IsValid() || !host.Contains(got) {
			t.Errorf("%s stands behind %s", host, got)
		}
	})
}
