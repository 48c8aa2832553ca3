package mint

import (
	"context"
	"errors"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/measure"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// metrics are what an operator sees of a minter.
type metrics struct {
	minted  metric.Int64Counter
	latency metric.Float64Histogram
	labels  measure.Ballots

	mu      sync.Mutex
	current map[string]current // tickets by ballot, as their loops last saw them
}

// current is a ticket as it was seen.
type current struct {
	cap, left int64
}

// observe makes the instruments.
func (m *Minter) observe(meter metric.Meter) error {
	var errs [6]error
	m.metrics.minted, errs[0] = meter.Int64Counter("littlevote.ticket.minted", metric.WithUnit("{ticket}"),
		metric.WithDescription("Tickets that this process minted."))
	m.metrics.latency, errs[1] = meter.Float64Histogram("littlevote.ticket.mint.duration", metric.WithUnit("s"),
		metric.WithDescription("Time of a proposal to the ledger, whatever its answer."), measure.Seconds())
	_, errs[2] = meter.Int64ObservableGauge("littlevote.ticket.lock.held", metric.WithUnit("{lock}"),
		metric.WithDescription("1 while this process holds the producer lock."), value(func() int64 {
			return truth(m.Lock.Hold() != nil)
		}))
	_, errs[3] = meter.Int64ObservableGauge("littlevote.ticket.missing", metric.WithUnit("{ballot}"),
		metric.WithDescription("Open ballots without a current ticket, at the last look."), value(m.missing.Load))
	_, errs[4] = meter.Int64ObservableGauge("littlevote.ticket.mode", metric.WithUnit("{ledger}"),
		metric.WithDescription("1 for the store that the open epoch's tickets stand in; 0 for both while none is open."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			l, open := m.Epochs.Current()
			for _, mode := range []epoch.Mode{epoch.Redis, epoch.Postgres} {
				o.Observe(truth(open && l.Mode == mode), metric.WithAttributes(attribute.String("mode", string(mode))))
			}
			return nil
		}))
	errs[5] = m.metrics.observeUses(meter)
	return errors.Join(errs[:]...)
}

// observeUses shows how much of the current tickets is left. Of the ballots that share a label it is the scarcest.
func (m *metrics) observeUses(meter metric.Meter) error {
	left, err1 := meter.Int64ObservableGauge("littlevote.ticket.uses.left", metric.WithUnit("{use}"),
		metric.WithDescription("Uses left of a ballot's current ticket when it was last looked at, once a window at least; none where there is no cap."))
	limit, err2 := meter.Int64ObservableGauge("littlevote.ticket.uses.limit", metric.WithUnit("{use}"),
		metric.WithDescription("Cap of a ballot's current ticket; none where there is no cap."))
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		scarcest := map[string]current{}
		m.mu.Lock()
		for ballot, now := range m.current {
			label := m.labels.Of(ballot)
			if before, there := scarcest[label]; !there || now.left < before.left {
				scarcest[label] = now
			}
		}
		m.mu.Unlock()
		for label, now := range scarcest {
			ballot := metric.WithAttributes(attribute.String("ballot", label))
			o.ObserveInt64(left, now.left, ballot)
			o.ObserveInt64(limit, now.cap, ballot)
		}
		return nil
	}, left, limit)
	return err
}

// saw takes in the state of a ballot's tickets; the zero state says that nobody looks any more.
func (m *metrics) saw(ballot string, state redisledger.TicketState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !state.Usable() || state.Newest.Cap <= 0 {
		delete(m.current, ballot)
		return
	}
	if m.current == nil {
		m.current = map[string]current{}
	}
	m.current[ballot] = current{cap: state.Newest.Cap, left: state.Newest.Left}
}

func value(now func() int64) metric.Int64ObservableGaugeOption {
	return metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(now())
		return nil
	})
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
