package mint

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"
)

// The uses left of current tickets, those of tenants under one label; nothing of tickets that are over or have no cap.
func TestUsesLeftAreShown(t *testing.T) {
	meter, registry, err := service.NewMeter("ticket-service")
	if err != nil {
		t.Fatal(err)
	}
	m := &metrics{}
	if err := m.observeUses(meter); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	see := func(ballot string, limit, left int64, expires time.Time) {
		m.saw(ballot, redisledger.TicketState{Now: now, Newest: &redisledger.Ticket{Cap: limit, Left: left, ExpiresAt: expires}})
	}
	soon := now.Add(time.Second)
	see("main", 1000, 700, soon)
	see("acme.one", 100, 80, soon)
	see("acme.two", 50, 20, soon)
	see("tiny", redisledger.NoCap, redisledger.NoCap, soon)
	see("over", 10, 5, now)
	see("gone", 10, 5, soon)
	m.saw("gone", redisledger.TicketState{})

	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		if name, ok := strings.CutPrefix(family.GetName(), "littlevote_ticket_uses_"); ok {
			for _, one := range family.GetMetric() {
				got[name+" "+one.GetLabel()[0].GetValue()] = one.GetGauge().GetValue()
			}
		}
	}
	want := map[string]float64{"left main": 700, "limit main": 1000, "left (tenants)": 20, "limit (tenants)": 50}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}
