package groupcommit

import (
	"context"
	"sync"
)

// Config bounds a Batcher.
type Config struct {
	Workers  int // batches in flight at once
	MaxBatch int // items per batch
	MaxQueue int // items that wait
}

// Batcher runs a function over batches.
type Batcher[T any] struct {
	queue  *Queue[T]
	run    func(ctx context.Context, batch []T)
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// New starts the workers. The function must answer every item of its batch, by whatever channel the item carries; its
// ctx ends only when Close gives up waiting, so no single caller's cancellation reaches it.
func New[T any](cfg Config, run func(ctx context.Context, batch []T)) *Batcher[T] {
	ctx, cancel := context.WithCancel(context.Background())
	b := &Batcher[T]{
		queue:  NewQueue[T](cfg.MaxQueue, cfg.MaxBatch, 0, nil),
		run:    run,
		ctx:    ctx,
		cancel: cancel,
	}
	for range cfg.Workers {
		b.wg.Go(b.work)
	}
	return b
}

// Put queues items for the next batch, all together; ErrFull or ErrClosed mean that nothing happened.
func (b *Batcher[T]) Put(items ...T) error { return b.queue.Put(items...) }

// Len returns how many items wait.
func (b *Batcher[T]) Len() int { return b.queue.Len() }

// Close takes nothing more in, waits until what is queued has been run, and ends the workers. When ctx ends first, the
// running batches' contexts are cancelled, and Close still waits for them.
func (b *Batcher[T]) Close(ctx context.Context) {
	b.queue.Close()
	stop := context.AfterFunc(ctx, b.cancel)
	defer stop()
	b.wg.Wait()
	b.cancel()
}

func (b *Batcher[T]) work() {
	for {
		// Background: a closed queue is still drained, each batch under the cancelled ctx if need be.
		batch := b.queue.Take(context.Background())
		if batch == nil {
			return
		}
		b.run(b.ctx, batch)
	}
}
