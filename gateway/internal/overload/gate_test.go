package overload

import (
	"testing"
	"time"
)

// tally is an Observer.
type tally struct{ served, refused int }

func (t *tally) Served(n int) { t.served += n }
func (t *tally) Refused()     { t.refused++ }

// queue is one before a server of constant speed, on a clock of its own.
type queue struct {
	clock   time.Time
	gate    *Gate
	seen    tally
	waiting float64
}

func newQueue(free int, longest time.Duration) *queue {
	q := &queue{clock: time.Unix(1_000_000, 0)}
	q.gate = NewGate(free, longest, &q.seen, func() time.Time { return q.clock })
	return q
}

// run lets arrivals come and be served, both per second, and returns the longest queue and the share that was refused.
func (q *queue) run(arrivals, served float64, length time.Duration) (longest, refused float64) {
	const step = time.Millisecond
	came, turned := 0.0, 0.0
	for end := q.clock.Add(length); q.clock.Before(end); q.clock = q.clock.Add(step) {
		for came += arrivals * step.Seconds(); came >= 1; came-- {
			if _, ok := q.gate.Admit(int(q.waiting)); ok {
				q.waiting++
			} else {
				turned++
			}
		}
		n := min(q.waiting, served*step.Seconds())
		q.waiting -= n
		q.gate.Left(int(n), 0)
		longest = max(longest, q.waiting)
	}
	return longest, turned / (arrivals * length.Seconds())
}

// G12: at five times the load what is let in waits no longer than it may, and the rest is refused; when the load is gone
// nothing is.
func TestFiveTimesTheLoad(t *testing.T) {
	q := newQueue(2000, time.Second)
	if longest, refused := q.run(9000, 10000, 5*time.Second); longest > 100 || refused > 0 {
		t.Errorf("at 0.9 of the capacity: a queue of %v, %v refused", longest, refused)
	}
	if longest, refused := q.run(50000, 10000, 10*time.Second); longest > 15000 || refused < 0.75 || refused > 0.85 {
		t.Errorf("at five times: a queue of %v, %v refused", longest, refused)
	}
	q.run(9000, 10000, 10*time.Second) // what waits drains
	if longest, refused := q.run(9000, 10000, 5*time.Second); longest > 2000 || refused > 0 {
		t.Errorf("afterwards: a queue of %v, %v refused", longest, refused)
	}
}

// S32: a thousand clients that each wait for their answer are never refused, however slow the answers are.
func TestAClosedLoopIsNoOverload(t *testing.T) {
	for _, served := range []float64{20_000, 1000, 100, 0} {
		q := newQueue(2000, time.Second)
		for range 10_000 { // ms
			for q.waiting < 1000 {
				if _, ok := q.gate.Admit(int(q.waiting)); !ok {
					t.Fatalf("refused at %v a second", served)
				}
				q.waiting++
			}
			n := min(q.waiting, served/1000)
			q.waiting -= n
			q.gate.Left(int(n), 0)
			q.clock = q.clock.Add(time.Millisecond)
		}
	}
	// Nor are five thousand, where that is less than the longest wait.
	q := newQueue(2000, time.Second)
	for range 10_000 {
		for q.waiting < 5000 {
			if _, ok := q.gate.Admit(int(q.waiting)); !ok {
				t.Fatal("refused")
			}
			q.waiting++
		}
		q.waiting -= 10
		q.gate.Left(10, 0)
		q.clock = q.clock.Add(time.Millisecond)
	}
}

// S81: a burst above the speed of what is behind is taken in and drains.
func TestABurstIsTakenIn(t *testing.T) {
	q := newQueue(2000, time.Second)
	for n := range 15_000 {
		if _, ok := q.gate.Admit(n); !ok {
			t.Fatalf("the %d. of a burst is refused", n)
		}
	}
}

func TestAQueueThatStands(t *testing.T) {
	q := newQueue(10, time.Second)
	longest, _ := q.run(1000, 0, 5*time.Second)
	if longest > 10+1000*grace.Seconds()+2 {
		t.Errorf("a queue of %v before something that stands", longest)
	}
	retry, ok := q.gate.Admit(int(q.waiting))
	if ok || retry != longestRetry {
		t.Errorf("%v, come back after %v", ok, retry)
	}
	// As soon as it moves again it is judged by its speed.
	q.run(1000, 100_000, 100*time.Millisecond)
	if longest, refused := q.run(1000, 100_000, time.Second); longest > 10 || refused > 0 {
		t.Errorf("a queue of %v, %v refused", longest, refused)
	}
	if q.seen.refused == 0 || q.seen.served == 0 {
		t.Errorf("observed %+v", q.seen)
	}
}

func TestTheDoor(t *testing.T) {
	door := NewDoor()
	for range 100_000 {
		if !door.Enter() {
			t.Fatal("turned away without any refusal")
		}
		door.Served(1)
	}
	enter := func(refused int) (through int) {
		for i := range 10_000 {
			if !door.Enter() {
				continue
			}
			through++
			if i*37%100 < refused { // spread evenly
				door.Refused()
			} else {
				door.Served(1)
			}
		}
		return through
	}
	// Two fifths of those that come through are refused behind: nobody is turned away for that.
	door = NewDoor()
	if through := enter(40); through < 9500 {
		t.Errorf("%d of 10000 come through where most are served", through)
	}
	// A tenth is served: about a fifth comes through.
	for range 5 {
		enter(90)
	}
	if through := enter(90); through > 4000 || through < 500 {
		t.Errorf("%d of 10000 come through where a tenth is served", through)
	}
	// Everything is refused: a few come through still, to see whether that has changed.
	for range 5 {
		enter(100)
	}
	if through := enter(100); through > 2500 || through < 200 {
		t.Errorf("%d of 10000 come through where nothing is served", through)
	}
}

// A service behind with a small queue of its own refuses what finds it full: soon that is refused at the gate instead, and
// nobody waits for a refusal.
func TestRefusalsOfTheServiceBehindMoveToTheGate(t *testing.T) {
	q := newQueue(2000, time.Second)
	const room, served = 200, 250 // places behind, and how many are served a second
	late, atOnce, answered := 0, 0, 0
	due := 0.0
	for end := q.clock.Add(20 * time.Second); q.clock.Before(end); q.clock = q.clock.Add(time.Millisecond) {
		for due += 5 * served * 0.001; due >= 1; due-- {
			if _, ok := q.gate.Admit(int(q.waiting)); ok {
				q.waiting++
			} else {
				atOnce++
			}
		}
		if q.clock.UnixMilli()%40 != 0 {
			continue
		}
		refused := max(0, int(q.waiting)-room)
		n := min(int(q.waiting)-refused, served/25)
		q.waiting -= float64(n + refused)
		q.gate.Left(n+refused, refused)
		late, answered = late+refused, answered+n
	}
	if answered < 20*served*8/10 {
		t.Errorf("%d were served in 20 s by one who can do %d a second", answered, served)
	}
	if late*100 > late+atOnce {
		t.Errorf("%d were refused after a wait, %d at once", late, atOnce)
	}
}
