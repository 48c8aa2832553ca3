package rows

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/littlevote/littlevote/tools/faults/internal/results"
	"github.com/littlevote/littlevote/tools/internal/deps"
	"github.com/littlevote/littlevote/tools/internal/system"
)

// The soak.
const (
	soakEvery  = time.Minute
	soakSample = 2 * time.Second
	// soakGrowth is how much more memory a process may have in its last third than in the second, in parts, and
	// soakSlack what it may have in any case: a heap breathes.
	soakGrowth = 0.15
	soakSlack  = 8 << 20
	soakGrace  = 2 * time.Minute // for the start, and the judgement
)

// SoakName is under which name a soak stands in the results.
const SoakName = "soak"

// soakFaults are what may happen in a soak; the system goes on after each.
func soakFaults() []func(*Run) {
	kill := func(kind system.Kind) func(*Run) { return func(r *Run) { r.kill(r.One(kind)) } }
	return []func(*Run){
		kill(system.Vote), kill(system.Ticket), kill(system.Query), kill(system.Persister), kill(system.Gateway),
		flush,
		func(r *Run) { r.killServer(deps.Kafka, r.Between(3*time.Second, 10*time.Second)) },
		func(r *Run) { r.killServer(deps.Postgres, r.Between(time.Second, 5*time.Second)) },
		func(r *Run) { r.freezeServer(deps.Kafka, r.Between(3*time.Second, 10*time.Second)) },
		func(r *Run) {
			r.Redis.Kill()
			r.Hold(r.Between(time.Second, 8*time.Second))
			r.Redis.Start(r)
		},
		func(r *Run) {
			r.ToRedis.Cut()
			r.Hold(r.Between(time.Second, 5*time.Second))
			r.ToRedis.Heal(r)
		},
		func(r *Run) {
			r.ToPg.Hang(r)
			r.Hold(r.Between(time.Second, 5*time.Second))
			r.ToPg.Heal(r)
		},
	}
}

// Soak is one long run with a random fault a minute. Memory must stay flat.
func (l *Lab) Soak(ctx context.Context, seed uint64, duration time.Duration) (results.Run, error) {
	memory := &memory{samples: map[string][]sample{}}
	row := Row{
		Name: SoakName, Kind: Kill, Title: "a random fault every minute", Proxied: true, Flags: longLease(), Back: time.Minute,
		Happen: func(r *Run) { soak(r, memory, duration) },
		Judge:  func(r *Run) { memory.judge(r) },
	}
	patient := *l
	patient.timeout = duration + soakGrace + runTimeout
	return patient.Try(ctx, row, seed)
}

func soak(r *Run, m *memory, duration time.Duration) {
	began := time.Now()
	sampling := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(sampling)
		m.sample(r, stop)
	}()
	faults := soakFaults()
	for n := 0; time.Since(began) < duration; n++ {
		r.Hold(min(soakEvery/2+r.Between(0, soakEvery/4), duration-time.Since(began)+time.Millisecond))
		which := r.Random.IntN(len(faults))
		r.Logf("%v: fault %d", time.Since(began).Round(time.Second), which)
		faults[which](r)
		r.AwaitMore(warm)
		r.Hold(max(0, soakEvery-time.Since(began)%soakEvery))
	}
	close(stop)
	<-sampling
}

type sample struct {
	at    time.Time
	bytes int64
}

// memory is what each process had, and when. A process that is started again is another one.
type memory struct{ samples map[string][]sample }

func (m *memory) sample(r *Run, stop <-chan struct{}) {
	ticker := time.NewTicker(soakSample)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		for _, s := range r.System.All() {
			pid := s.PID()
			if bytes, err := resident(pid); err == nil {
				id := fmt.Sprintf("%s/%d", s.ID(), pid)
				m.samples[id] = append(m.samples[id], sample{time.Now(), bytes})
			}
		}
	}
}

// resident is the resident memory of a process.
func resident(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm of %d: %q", pid, text)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// judge holds the last third of each process's life against the second, where that was long enough to say something.
func (m *memory) judge(r *Run) {
	const enough = 60 // samples
	for id, all := range m.samples {
		if len(all) < enough {
			continue
		}
		third := len(all) / 3
		middle, last := median(all[third:2*third]), median(all[2*third:])
		r.Logf("%s: %d MiB, then %d MiB", id, middle>>20, last>>20)
		if grown(middle, last) {
			r.Errorf("%s grows: %d MiB in the second third of its life, %d MiB in the last", id, middle>>20, last>>20)
		}
	}
}

// grown says whether memory is not flat.
func grown(middle, last int64) bool {
	return last-middle > soakSlack && float64(last) > float64(middle)*(1+soakGrowth)
}

func median(samples []sample) int64 {
	bytes := make([]int64, len(samples))
	for i, s := range samples {
		bytes[i] = s.bytes
	}
	slices.Sort(bytes)
	return bytes[len(bytes)/2]
}
