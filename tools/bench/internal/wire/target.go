package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
)

// ErrNotLoopback says that an address is not, or not only, on this machine.
var ErrNotLoopback = errors.New("not a loopback address")

// Target is a GraphQL endpoint on this machine.
type Target struct {
	address string // ip:port, resolved once so that no later answer of a resolver leads elsewhere
	host    string
	path    string
}

// ParseTarget accepts http://host:port/path where the host is a loopback address, or a name that has no other.
func ParseTarget(ctx context.Context, rawURL string) (Target, error) {
	parsed, err := url.Parse(rawURL)
	if err != nil {
		return Target{}, fmt.Errorf("%q is not a URL: %w", rawURL, err)
	}
	if parsed.Scheme != "http" || parsed.Host == "" || parsed.User != nil {
		return Target{}, fmt.Errorf("%q must look like http://127.0.0.1:8080/graphql", rawURL)
	}
	port := parsed.Port()
	if port == "" {
		port = "80"
	}
	ip, err := Loopback(ctx, parsed.Hostname())
	if err != nil {
		return Target{}, err
	}
	return Target{
		address: net.JoinHostPort(ip.String(), port),
		host:    parsed.Host,
		path:    parsed.RequestURI(),
	}, nil
}

// Loopback resolves a host name and refuses it unless every address it has is on this machine.
func Loopback(ctx context.Context, host string) (net.IP, error) {
	found, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("resolve %q: %w", host, err)
	}
	for _, address := range found {
		if !address.IP.IsLoopback() {
			return nil, fmt.Errorf("%q is %s: %w; the benchmark loads only the machine it runs on", host, address.IP, ErrNotLoopback)
		}
	}
	// Servers that are told "localhost" mostly listen on IPv4.
	for _, address := range found {
		if address.IP.To4() != nil {
			return address.IP, nil
		}
	}
	return found[0].IP, nil
}

// String gives the endpoint as a URL.
func (t Target) String() string { return "http://" + t.host + t.path }

// Post encodes a whole request that posts a JSON body.
func (t Target) Post(body []byte) []byte {
	request := make([]byte, 0, len(body)+256)
	request = append(request, "POST "+t.path+" HTTP/1.1\r\nHost: "+t.host...)
	request = append(request, "\r\nContent-Type: application/json\r\nAccept: application/json\r\nContent-Length: "...)
	request = strconv.AppendInt(request, int64(len(body)), 10)
	request = append(request, "\r\n\r\n"...)
	return append(request, body...)
}
