package verify

import (
	"context"
	"errors"
	"maps"
	"time"
)

// Source is a place that counts.
type Source interface {
	Counts(ctx context.Context) (Counts, error)
}

// Patience bounds the wait for a source to agree.
type Patience struct {
	Timeout time.Duration // how long the source may take to agree
	Poll    time.Duration // the pause between two looks
	Settled time.Duration // how long it must then stay as it is, on top of the timeout
}

// Await looks at the source until it agrees with the account and stays as it is, or until patience ends; then it says
// what is wrong. It gives the time that the source took to agree, from the call on.
func Await(ctx context.Context, source Source, before Counts, account *Account, patience Patience) (time.Duration, error) {
	start := time.Now()
	var agreed time.Time // since when it is right and unchanged; zero while it is not
	var last Counts
	for {
		counts, err := source.Counts(ctx)
		now := time.Now()
		late := now.Sub(start) >= patience.Timeout
		if err == nil {
			err = account.Check(before, counts)
		}
		switch {
		case err != nil && late:
			return now.Sub(start), err
		case err != nil:
			agreed = time.Time{}
		case agreed.IsZero():
			agreed = now
		case !maps.Equal(last, counts) && late:
			return now.Sub(start), errors.New("allowed by the votes of unknown outcome, but still changing")
		case !maps.Equal(last, counts):
			agreed = now
		}
		last = counts
		if err == nil && now.Sub(agreed) >= patience.Settled {
			return agreed.Sub(start), nil
		}
		if err := sleep(ctx, patience.Poll); err != nil {
			return time.Since(start), err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
