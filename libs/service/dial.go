package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/balancer/leastrequest"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
)

// leastCalls gives each call to the replica, of all that a target names, with the fewest calls on their way, and by chance among
// equals. A replica that is frozen keeps the calls that it has, so as long as they wait it gets no others; taking turns would
// give it every second call until its connection is given up.
const leastCalls = `{"loadBalancingConfig":[{"` + leastrequest.Name + `":{"choiceCount":10}}]}`

// Dial makes a client for the replicas of a service. The target is "host:port" (all addresses that DNS has), several of them with
// commas between, or any target of gRPC. Connections are made on the first call, so a replica may come later. A call goes to the
// replica that has the fewest. Calls get DefaultDeadline if they have none, take a little less time than the caller has, fail at
// once while no replica is there, and are not retried: only the caller knows what may be sent twice. A call of a traced caller has
// a span, and so has what it leads to on the other side.
func Dial(target string, secure *TLS, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	target, list, err := staticList(target)
	if err != nil {
		return nil, err
	}
	base := []grpc.DialOption{
		grpc.WithTransportCredentials(secure.credentials(insecure.NewCredentials())),
		grpc.WithResolvers(list),
		grpc.WithDefaultServiceConfig(leastCalls),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithChainUnaryInterceptor(withDeadline, withSpan),
		// A replica that is frozen or cut off is found out in 13 s (gRPC asks every 10 s at most); its calls end by their own
		// deadlines.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: 10 * time.Second, Timeout: 3 * time.Second, PermitWithoutStream: true,
		}),
		// A replica that restarts is back in use within about two seconds.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 2 * time.Second,
		}),
	}
	conn, err := grpc.NewClient(target, append(base, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", target, err)
	}
	return conn, nil
}

// mostShaved is how much of the caller's time a call leaves, at most, for the way back and for what the caller does then.
const mostShaved = 10 * time.Millisecond

// withDeadline gives a call without a deadline the default one, and any other call a little less than is left: so the last
// one of a chain gives up first, and each of the others can still say why.
func withDeadline(
	ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	bound := time.Now().Add(DefaultDeadline)
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		bound = deadline.Add(-min(mostShaved, max(left, 0)/20))
	}
	ctx, cancel := context.WithDeadline(ctx, bound)
	defer cancel()
	return invoke(ctx, method, req, reply, conn, opts...)
}

// staticScheme is the name of the resolver for lists, known to the connections of Dial only.
const staticScheme = "littlevote-list"

// addressList resolves to the addresses it holds.
type addressList []resolver.Address

// staticList turns a target with commas into one of the list resolver; other targets stay.
func staticList(target string) (string, addressList, error) {
	if target == "" {
		return "", nil, errors.New("dial: expected host:port, got nothing")
	}
	if !strings.Contains(target, ",") || strings.Contains(target, "://") {
		return target, nil, nil
	}
	var list addressList
	for item := range strings.SplitSeq(target, ",") {
		address := strings.TrimSpace(item)
		if _, _, err := net.SplitHostPort(address); err != nil {
			return "", nil, fmt.Errorf("dial %s: expected host:port, got %q", target, address)
		}
		// The certificate of each replica is checked against its own name.
		list = append(list, resolver.Address{Addr: address, ServerName: address})
	}
	return staticScheme + ":///replicas", list, nil
}

// Scheme is part of resolver.Builder.
func (l addressList) Scheme() string { return staticScheme }

// Build is part of resolver.Builder; the list never changes, so it is told once.
func (l addressList) Build(_ resolver.Target, conn resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	if err := conn.UpdateState(resolver.State{Addresses: l}); err != nil {
		return nil, err
	}
	return l, nil
}

// ResolveNow is part of resolver.Resolver.
func (l addressList) ResolveNow(resolver.ResolveNowOptions) {}

// Close is part of resolver.Resolver.
func (l addressList) Close() {}
