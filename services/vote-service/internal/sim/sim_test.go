package sim

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/redisledger/ledgermodel"
)

// result is what became of a schedule.
type result struct {
	broken []string
	hash   uint64
	trace  []string
	plan   string
	acks   int
}

// run plays one schedule.
func run(t *testing.T, seed uint64, wrong variant, verbose bool) (r result) {
	synctest.Test(t, func(*testing.T) {
		waitForIDs()
		w := newWorld(seed, wrong)
		w.verbose = verbose
		w.play()
		r = result{broken: w.broken, hash: w.hash, trace: w.trace, plan: w.plan.String(), acks: len(w.acks)}
	})
	return r
}

// waitForIDs lets the clock of this bubble pass that of the last id: ids never go back in time, but each bubble begins in the
// year 2000. What depends on slices of time sees the same in each, since they begin a multiple of ten minutes apart.
func waitForIDs() {
	const slot = 10 * time.Minute
	sec, nsec := uuid.Must(uuid.NewV7()).Time().UnixTime()
	if last := time.Unix(sec, nsec); last.After(time.Now()) {
		time.Sleep(time.Until(last.Truncate(slot).Add(slot)))
	}
}

func newWorld(seed uint64, wrong variant) *world {
	w := &world{
		seed: seed, plan: newPlan(seed, wrong), begin: time.Now(), times: map[string]uint64{}, names: map[uuid.UUID]string{},
	}
	skew := time.Duration(w.dice("skew").IntN(2000)-1000) * time.Millisecond
	first := ledgermodel.New(func() time.Time { return time.Now().Add(skew) })
	first.SetReplicas(w.plan.replicated)
	w.redis = &redis{nodes: []*ledgermodel.Ledger{first}, gone: map[*ledgermodel.Ledger]bool{}, sameReplid: wrong.sameReplid}
	w.pg = &postgres{tables: newTables(w.plan.ballot()), participants: map[string]*participant{}, wrongSwitch: wrong.noSwitch}
	w.pg.wrong = wrong.tables
	w.log = &topic{id: uuid.UUID{1}}
	for p := range int32(partitions) {
		w.pg.offsets[p] = &offset{caughtUp: time.Now()}
	}
	return w
}

// play lets things go wrong for a while, waits for the end of that, and judges.
func (w *world) play() {
	stop, cancel := context.WithCancel(context.Background())
	w.stop = stop
	for n := range instances {
		w.start(n, 0)
	}
	w.all.Go(w.mint)
	w.persisters()
	w.faults()
	votes := w.voters()
	votes.Wait()
	sleep(stop, w.calm()-w.now())
	if left := w.rest(); left != "" {
		w.fail("not at rest: %s", left)
	}
	w.check(w.dice("last look"))
	for _, i := range w.living() {
		i.end(false)
	}
	cancel()
	w.all.Wait()
	w.judge()
}

func (w *world) living() (list []*instance) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range w.instances {
		if !i.ended.Load() {
			list = append(list, i)
		}
	}
	return list
}

// calm is when nothing fails any more.
func (w *world) calm() time.Duration { return busy + 6*time.Second }

// faults are those of the plan that are acts.
func (w *world) faults() {
	at := func(when time.Duration, f func()) {
		w.all.Go(func() {
			if sleep(w.stop, when) {
				f()
			}
		})
	}
	for _, f := range w.plan.failovers {
		if f.empty {
			at(f.at, func() { w.note("Redis is emptied"); w.redis.empty() })
			continue
		}
		at(f.at-f.lag, func() {
			copied := w.redis.copy()
			if sleep(w.stop, f.lag) {
				w.note("a replica is promoted")
				w.redis.lose(copied)
			}
		})
	}
	for _, s := range w.plan.pgAway {
		at(s.from, w.pg.crash)
	}
	for _, s := range w.plan.held {
		at(s.from, func() { w.hold(true) })
		at(s.to, func() { w.hold(false) })
	}
	lives := [instances]int{}
	for _, k := range w.plan.kills {
		lives[k.n]++
		life := lives[k.n]
		at(k.at, func() {
			for _, i := range w.living() {
				if int(i.who[0]-'A') == k.n {
					i.end(!k.graceful)
				}
			}
			if sleep(w.stop, k.back-k.at) {
				w.start(k.n, life)
			}
		})
	}
}

func (w *world) hold(held bool) {
	w.note("held: %t", held)
	w.pg.mu.Lock()
	defer w.pg.mu.Unlock()
	w.pg.epoch.Held = held
}

// One processor: two goroutines that are ready at the same instant run in the order in which they became so.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	os.Exit(m.Run())
}

// Every promise holds, whatever goes wrong.
func TestSim(t *testing.T) {
	if text := os.Getenv("LITTLEVOTE_SIM_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		tell(t, seed, run(t, seed, variant{}, true))
		return
	}
	n, acks := schedules, 0
	if text := os.Getenv("LITTLEVOTE_SIM"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	for seed := range uint64(n) {
		r := run(t, seed, variant{}, false)
		if acks += r.acks; len(r.broken) > 0 {
			tell(t, seed, r)
			t.FailNow()
		}
	}
	t.Logf("%d schedules, %d votes acknowledged", n, acks)
	if acks < n {
		t.Error("too little goes right")
	}
}

func tell(t *testing.T, seed uint64, r result) {
	t.Helper()
	t.Logf("seed %d: %s", seed, r.plan)
	for _, line := range r.trace {
		t.Log(line)
	}
	for n, what := range r.broken {
		if n == 10 {
			t.Logf("and %d more", len(r.broken)-n)
			break
		}
		t.Errorf("seed %d: %s", seed, what)
	}
}
