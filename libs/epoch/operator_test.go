package epoch_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

func (w *world) show() epoch.Overview {
	w.t.Helper()
	o, err := epoch.Show(w.t.Context(), w.pool)
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

func TestOperatorEndsAnEpoch(t *testing.T) {
	w := newWorld(t)
	if _, err := epoch.Show(t.Context(), w.pool); !errors.Is(err, pgledger.ErrNoEpoch) {
		t.Errorf("before there is one: %v", err)
	}
	w.changer(false)
	p, _ := w.participant(w.pool, time.Minute)
	first := w.awaitEpoch(p, 1)
	o := w.show()
	if o.Epoch != first.Epoch || o.Mode != epoch.Redis || o.State != "open" || len(o.Ballots) == 0 || !o.Ballots[0].Here || o.Since.IsZero() {
		t.Errorf("%+v", o)
	}
	// The changer takes part too, and which of the two beats first is chance.
	testenv.Eventually(t, 10*time.Second, func() error {
		if o = w.show(); len(o.Participants) != 2 {
			return fmt.Errorf("participants: %+v", o.Participants)
		}
		return nil
	})
	for _, of := range o.Participants {
		if of.Epoch != first.Epoch || o.Holds(of) {
			t.Errorf("participant: %+v", of)
		}
	}
	if err := epoch.EndByHand(t.Context(), w.pool, "try it"); err != nil {
		t.Fatal(err)
	}
	if second := w.awaitEpoch(p, 2); second.Mode != epoch.Redis || second.NS == first.NS {
		t.Errorf("the next one is %+v", second)
	}
}

func TestOperatorHoldsAndReleases(t *testing.T) {
	w := newWorld(t)
	w.changer(false)
	p, _ := w.participant(w.pool, time.Minute)
	w.awaitEpoch(p, 1)
	for range 2 {
		if err := epoch.Hold(t.Context(), w.pool); err != nil {
			t.Fatal(err)
		}
	}
	if second := w.awaitEpoch(p, 2); second.Mode != epoch.Postgres {
		t.Fatalf("held, and in %s", second.Mode)
	}
	if o := w.show(); !o.Held || o.Mode != epoch.Postgres || o.State != "open" {
		t.Errorf("%+v", o)
	}
	if err := epoch.EndByHand(t.Context(), w.pool, "try it"); !errors.Is(err, epoch.ErrNotEnded) {
		t.Errorf("an epoch in Postgres was ended: %v", err)
	}
	w.rest()
	if err := epoch.Release(t.Context(), w.pool); err != nil {
		t.Fatal(err)
	}
	if third := w.awaitEpoch(p, 3); third.Mode != epoch.Redis {
		t.Errorf("released, and in %s", third.Mode)
	}
}

// A change waits for whoever may still acknowledge, and the overview says for whom.
func TestOverviewNamesWhoHoldsAChangeUp(t *testing.T) {
	w := newWorld(t)
	stop := w.changer(false)
	p, _ := w.participant(w.pool, time.Minute)
	w.awaitEpoch(p, 1)
	stop()
	w.exec("INSERT INTO participants (id, service, epoch, stopped, lease_until) SELECT 'dead', 'vote', epoch, false, now() + interval '1 minute' FROM ledger_epoch")
	if err := epoch.EndByHand(t.Context(), w.pool, "try it"); err != nil {
		t.Fatal(err)
	}
	o := w.show()
	var held []string
	for _, q := range o.Participants {
		if o.Holds(q) && q.ID == "dead" {
			held = append(held, q.ID)
		}
	}
	if o.State != "ending" || o.Reason != "try it" || len(held) != 1 {
		t.Errorf("%+v", o)
	}
}
