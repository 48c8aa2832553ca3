package overload

import (
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivethrottler"
)

const (
	// period is how far back the door looks. What is turned away counts as refused, and clients that come back at once are
	// turned away often, so it opens by doubling what it lets through each period.
	period = time.Second
	// served is the share of those that come through which should be served: the others keep the measure.
	served = 0.5
	// enough is how many must have come in a period before anybody is turned away.
	enough = 500
	// mostRefused is the largest share that is turned away unread.
	mostRefused = 0.9
)

// Door turns requests away before they are read. All methods may be called at once.
type Door struct {
	throttle adaptivethrottler.AdaptiveThrottler[any]
}

// NewDoor returns a door that stands open.
func NewDoor() *Door {
	return &Door{throttle: adaptivethrottler.NewBuilder[any]().
		WithFailureRateThreshold(1-served, enough, period).
		WithMaxRejectionRate(mostRefused).
		Build()}
}

// Enter decides about one request.
func (d *Door) Enter() bool {
	if d.throttle.TryAcquirePermit() {
		return true
	}
	d.throttle.RecordFailure()
	return false
}

// Served is part of Observer.
func (d *Door) Served(n int) {
	for range n {
		d.throttle.RecordSuccess()
	}
}

// Refused is part of Observer.
func (d *Door) Refused() { d.throttle.RecordFailure() }
