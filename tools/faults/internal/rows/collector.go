package rows

import (
	"net"
	"slices"
	"time"

	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/collector"
	"github.com/littlevote/littlevote/tools/internal/process"
	"github.com/littlevote/littlevote/tools/internal/system"
)

func collectorRows() []Row {
	return []Row{{
		Name: "O1", Kind: Stop, Title: "all is traced, and the collector of traces goes away, and then hangs", Silence: degraded,
		Sees: "nothing", Prepare: traceAll, Happen: loseCollector, Judge: unhelped,
	}}
}

// collectorPhase is how long each state of the collector lasts: longer than spans wait for their export.
const collectorPhase = 6 * time.Second

// traceAll lets every process trace every vote, for a collector at an address where nobody listens yet.
func traceAll(r *Run) {
	r.spansTo = process.Address(r)
	for _, kind := range system.Kinds() {
		r.Config.Flags[kind] = append(r.Config.Flags[kind], "--trace-endpoint=http://"+r.spansTo, "--trace-ratio=1")
	}
}

// loseCollector compares how long votes take while nobody takes their spans.
func loseCollector(r *Run) {
	var medians []time.Duration
	phase := func(name string) {
		began := time.Now()
		r.Hold(collectorPhase)
		median, votes := r.median(began, time.Now())
		r.Note("%s: %d votes, half of them within %v", name, votes, median.Round(time.Millisecond))
		medians = append(medians, median)
	}
	taking := collector.Start(r, r.spansTo)
	phase("takes spans")
	if taking.Received() == "" {
		r.Errorf("no span came")
	}
	taking.Stop()
	phase("away")
	silent := r.listen() // takes connections, and never says a word
	phase("hangs")
	_ = silent.Close()
	// Where an export held votes up, they would wait for its timeout, which is seconds.
	r.timely("votes as quick as with a collector that answers", slices.Max(medians) <= 3*medians[0]+100*time.Millisecond)
}

func (r *Run) listen() net.Listener {
	l, err := net.Listen("tcp", r.spansTo)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = l.Close() })
	return l
}

// median is how long half of the acknowledged votes took that were sent and answered between two moments.
func (r *Run) median(from, to time.Time) (time.Duration, int) {
	var took []time.Duration
	for _, a := range r.Crowd.History.Attempts() {
		if a.Outcome == checker.Counted && a.Sent.After(from) && a.Answered.Before(to) {
			took = append(took, a.Answered.Sub(a.Sent))
		}
	}
	if len(took) == 0 {
		r.Fatal("no vote was acknowledged")
	}
	slices.Sort(took)
	return took[len(took)/2], len(took)
}
