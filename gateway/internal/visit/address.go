package visit

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

type connectionKey struct{}

// Connection is for http.Server's ConnContext: it remembers who is at the other end.
func Connection(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, conn.RemoteAddr())
}

// Proxies are those whose word on where a request comes from is believed.
type Proxies []netip.Prefix

// ParseProxies reads networks such as 10.0.0.0/8, or single addresses.
func ParseProxies(texts []string) (Proxies, error) {
	proxies := make(Proxies, len(texts))
	for i, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			one, oneErr := netip.ParseAddr(text)
			if oneErr != nil {
				return nil, fmt.Errorf("expected networks such as 10.0.0.0/8, got %q", text)
			}
			prefix = netip.PrefixFrom(one, one.BitLen())
		}
		proxies[i] = prefix.Masked()
	}
	return proxies, nil
}

// Address returns the IP address of who sent a request as text, empty where it is not known.
func (p Proxies) Address(ctx context.Context, header http.Header) string {
	if from := p.From(ctx, header); from.IsValid() {
		return from.String()
	}
	return ""
}

// From returns the IP address of who sent a request; it is not valid where it is not known. Behind proxies that are believed it
// is the last one in X-Forwarded-For that is not one of theirs: what stands before it anybody may have written.
func (p Proxies) From(ctx context.Context, header http.Header) netip.Addr {
	at, ok := ctx.Value(connectionKey{}).(net.Addr)
	if !ok {
		return netip.Addr{}
	}
	address := Peer(at)
	if !address.IsValid() || !p.Hold(address) {
		return address
	}
	hops := strings.Split(strings.Join(header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		if address = hop.Unmap().WithZone(""); !p.Hold(address) {
			break
		}
	}
	return address
}

// Hold reports whether an address is that of a proxy.
func (p Proxies) Hold(address netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

// Peer returns the IP address of the other end of a connection; it is not valid where there is none.
func Peer(at net.Addr) netip.Addr {
	if tcp, ok := at.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	port, err := netip.ParseAddrPort(at.String())
	if err != nil {
		return netip.Addr{}
	}
	return port.Addr().Unmap().WithZone("")
}

// Host returns who stands behind an address, as far as that can be told: with IPv6 everybody has a whole /64.
func Host(address netip.Addr) netip.Prefix {
	const host = 64
	if address.Is4() {
		return netip.PrefixFrom(address, address.BitLen())
	}
	return netip.PrefixFrom(address, host).Masked()
}
