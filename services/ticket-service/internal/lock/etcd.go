package lock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/littlevote/littlevote/libs/tlsfiles"
)

// Etcd keeps the lock as a key that hangs on a lease. It does so by transactions of its own and not by the client's
// concurrency package, since a session of that counts its life from when an answer came and not from when the request
// was sent.
type Etcd struct {
	client *clientv3.Client
	key    string
	ttl    time.Duration
}

// NewEtcd connects in the background. etcd counts in seconds and grants some at the least (two, by default), so a
// lock may last longer than ttl. Endpoints with https:// are spoken to by TLS with the files.
func NewEtcd(endpoints []string, secure *tlsfiles.Files, key string, ttl time.Duration) (*Etcd, error) {
	var options []grpc.DialOption
	if slices.ContainsFunc(endpoints, func(url string) bool { return strings.HasPrefix(url, "https://") }) {
		options = append(options, grpc.WithTransportCredentials(secure.Credentials()))
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            endpoints,
		DialTimeout:          ttl,
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 3 * time.Second,
		DialOptions:          options,
		Logger:               zap.NewNop(),
	})
	if err != nil {
		return nil, fmt.Errorf("lock: etcd: %w", err)
	}
	return &Etcd{client: client, key: key, ttl: ttl}, nil
}

// Close ends the connections.
func (e *Etcd) Close() error { return e.client.Close() }

// Take implements Backend. It looks before it asks for a lease, since waiting replicas try often.
func (e *Etcd) Take(ctx context.Context) (Claim, error) {
	found, err := e.client.Get(ctx, e.key, clientv3.WithCountOnly())
	if err != nil {
		return nil, fmt.Errorf("lock: look: %w", err)
	}
	if found.Count > 0 {
		return nil, ErrTaken
	}
	seconds := int64((e.ttl + time.Second - 1) / time.Second)
	lease, err := e.client.Grant(ctx, seconds)
	if err != nil {
		return nil, fmt.Errorf("lock: lease: %w", err)
	}
	claim := &etcdClaim{store: e, lease: lease.ID, life: time.Duration(lease.TTL) * time.Second}
	taken, err := e.client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(e.key), "=", 0)).
		Then(clientv3.OpPut(e.key, fmt.Sprintf("%x", lease.ID), clientv3.WithLease(lease.ID))).
		Commit()
	if err != nil || !taken.Succeeded {
		// Without its lease the key is gone as well, should it have been written.
		drop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = claim.Release(drop)
		if err == nil {
			return nil, ErrTaken
		}
		return nil, fmt.Errorf("lock: take: %w", err)
	}
	claim.fence = taken.Header.Revision
	return claim, nil
}

// etcdClaim is ours while the lease lives. The fence is the revision that made the key.
type etcdClaim struct {
	store *Etcd
	lease clientv3.LeaseID
	life  time.Duration
	fence int64
}

func (c *etcdClaim) Fence() int64        { return c.fence }
func (c *etcdClaim) Life() time.Duration { return c.life }

func (c *etcdClaim) Renew(ctx context.Context) error {
	_, err := c.store.client.KeepAliveOnce(ctx, c.lease)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return ErrLost
	}
	if err != nil {
		return fmt.Errorf("lock: renew: %w", err)
	}
	// Somebody may have deleted the key itself, to make another replica take over.
	found, err := c.store.client.Get(ctx, c.store.key)
	if err != nil {
		return fmt.Errorf("lock: renew: %w", err)
	}
	if len(found.Kvs) == 0 || found.Kvs[0].CreateRevision != c.fence {
		return ErrLost
	}
	return nil
}

func (c *etcdClaim) Release(ctx context.Context) error {
	if _, err := c.store.client.Revoke(ctx, c.lease); err != nil {
		return fmt.Errorf("lock: release: %w", err)
	}
	return nil
}
