package persist

import (
	"context"
	"errors"
	"time"

	"github.com/littlevote/littlevote/libs/pgledger"
)

const (
	upkeepEvery = time.Hour
	// upkeepRetry is soon enough: partitions are made days ahead.
	upkeepRetry = time.Minute
)

// upkeep makes and drops the daily partitions of the tables until ctx ends.
func (p *Persister) upkeep(ctx context.Context) error {
	for {
		pause := upkeepEvery
		if err := p.keepUp(ctx); err != nil && ctx.Err() == nil {
			p.log.WarnContext(ctx, "upkeep of the tables; will be tried again", "error", err)
			pause = upkeepRetry
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

func (p *Persister) keepUp(ctx context.Context) error {
	made := pgledger.EnsurePartitions(ctx, p.pool, time.Now())
	dropped, err := pgledger.DropOldBatches(ctx, p.pool, p.cfg.Kafka.Retention)
	if len(dropped) > 0 {
		p.log.InfoContext(ctx, "forgot old batch ids", "partitions", dropped)
	}
	return errors.Join(made, err)
}
