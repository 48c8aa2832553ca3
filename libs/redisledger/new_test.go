package redisledger_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/redisledger"
)

// H29: the marker of a new ballot comes late, when its epoch is over and the tombstone of the seal is gone; votes would be
// acknowledged in it that no later epoch knows.
func TestNewBallotIsFinishedOnlyInAnOpenEpoch(t *testing.T) {
	w := newBench(t, 10, time.Hour)
	errOver := errors.New("the epoch is over")
	late := redisledger.Ballot{Name: "late", State: "open", Rules: 1}
	err := w.ledger.LoadNew(t.Context(), w.fence, late, func(context.Context) error { return errOver })
	if !errors.Is(err, errOver) {
		t.Fatalf("%v", err)
	}
	if err := w.ledger.Alive(t.Context(), w.fence, "late"); !errors.Is(err, redisledger.ErrWrongEpoch) {
		t.Fatalf("%v: a ballot that was begun and not finished takes votes", err)
	}
	// Sealed between the question and the end.
	err = w.ledger.LoadNew(t.Context(), w.fence, late, func(ctx context.Context) error {
		return w.ledger.Seal(ctx, w.fence, "late")
	})
	if !errors.Is(err, redisledger.ErrWrongEpoch) {
		t.Fatalf("%v", err)
	}
	other := redisledger.Ballot{Name: "other", State: "open", Rules: 1}
	if err := w.ledger.LoadNew(t.Context(), w.fence, other, func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := w.ledger.Alive(t.Context(), w.fence, "other"); err != nil {
		t.Fatal(err)
	}
}
