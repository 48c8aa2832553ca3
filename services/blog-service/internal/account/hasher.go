package account

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/alexedwards/argon2id"

	"github.com/littlevote/littlevote/libs/tracing"
)

var errBusy = errors.New("account: too many passwords wait")

// hasher hashes passwords, few at a time.
type hasher struct {
	params  argon2id.Params
	slots   chan struct{}
	waiting atomic.Int64
	queue   int64
	nobody  string // a hash of a password that nobody has
	took    func(ctx context.Context, d time.Duration)
}

// newHasher returns a hasher with the least parameters that OWASP's Password Storage Cheat Sheet recommends for argon2id:
// 19 MiB, two passes, one lane. They stand in each hash, so later ones may have others.
func newHasher(workers, queue int, took func(ctx context.Context, d time.Duration)) (*hasher, error) {
	h := &hasher{
		params: argon2id.Params{Memory: 19 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32},
		slots:  make(chan struct{}, workers), queue: int64(queue), took: took,
	}
	var err error
	if h.nobody, err = argon2id.CreateHash(rand.Text(), &h.params); err != nil {
		return nil, fmt.Errorf("hash a password: %w", err)
	}
	return h, nil
}

// hash returns what is kept of a password.
func (h *hasher) hash(ctx context.Context, password string) (hash string, err error) {
	err = h.alone(ctx, func() error {
		hash, err = argon2id.CreateHash(password, &h.params)
		return err
	})
	return hash, err
}

// verify compares a password with a hash; with none it takes as long, and they differ.
func (h *hasher) verify(ctx context.Context, password, hash string) (equal bool, err error) {
	against := hash
	if hash == "" {
		against = h.nobody
	}
	err = h.alone(ctx, func() error {
		equal, err = argon2id.ComparePasswordAndHash(password, against)
		return err
	})
	return equal && hash != "", err
}

// alone waits for a slot.
func (h *hasher) alone(ctx context.Context, work func() error) (err error) {
	ctx, span := tracing.Start(ctx, "hash password")
	defer func() { tracing.End(span, err) }()
	defer h.waiting.Add(-1)
	if h.waiting.Add(1) > h.queue+int64(cap(h.slots)) {
		return errBusy
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	began := time.Now()
	defer func() { h.took(ctx, time.Since(began)) }()
	return work()
}

// queued is how many passwords wait or are being hashed.
func (h *hasher) queued() int64 { return h.waiting.Load() }
