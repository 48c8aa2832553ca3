package rows

import (
	"fmt"
	"syscall"
	"time"

	"github.com/littlevote/littlevote/tools/internal/scope"
	"github.com/littlevote/littlevote/tools/internal/system"
)

// failpointPatience is how long a process may take until it comes by its failpoint.
const failpointPatience = 30 * time.Second

func persisterRows() []Row {
	return []Row{
		{
			Name: "F2", Kind: Kill, Title: "the persister dies after the commit, before Kafka knows", Silence: degraded,
			Sees:    "nothing",
			Prepare: func(r *Run) { r.dieAt("persister-0", "persist.after-commit", 5, 60) },
			Happen:  func(r *Run) { r.awaitFailpoint(r.System.Service(system.Persister, 0)) },
		},
		{
			Name: "F3", Kind: Kill, Title: "the persister dies in its transaction", Silence: degraded,
			Sees:    "nothing",
			Prepare: func(r *Run) { r.dieAt("persister-0", "persist.before-commit", 5, 60) },
			Happen:  func(r *Run) { r.awaitFailpoint(r.System.Service(system.Persister, 0)) },
		},
		{
			Name: "K3", Kind: Kill, Title: "kill -9 of a persister", Silence: degraded,
			Sees:   "nothing",
			Happen: func(r *Run) { r.kill(r.One(system.Persister)) },
		},
		{
			Name: "F4", Kind: Stop, Title: "a persister is frozen for longer than its session, and goes on", Silence: degraded,
			Sees:   "nothing",
			Flags:  map[system.Kind][]string{system.Persister: {"--persister-session-timeout=6s"}},
			Happen: func(r *Run) { r.freeze(r.One(system.Persister), r.Between(8*time.Second, 14*time.Second)) },
		},
		{
			Name: "F5", Kind: Change, Title: "a persister joins and leaves every 2 s, for 20 s", Silence: degraded,
			Sees: "nothing", Happen: joinAndLeave,
		},
	}
}

// dieAt arms a failpoint at a time that the seed chooses: the process dies when it comes by for the n-th time.
func (r *Run) dieAt(service, point string, least, most int) {
	r.SetEnv(service, fmt.Sprintf("LITTLEVOTE_FAILPOINT=%s=exit:%d", point, least+r.Random.IntN(most-least)))
}

// awaitFailpoint waits until a process has died at its failpoint, and starts it again without.
func (r *Run) awaitFailpoint(s *system.Service) {
	r.awaitDeath(s)
	r.Hold(r.down())
	r.Restart(s)
}

func (r *Run) awaitDeath(s *system.Service) {
	scope.Eventually(r, failpointPatience, func() error {
		select {
		case <-s.Done():
			return nil
		default:
			return fmt.Errorf("%s has not come by its failpoint", s.ID())
		}
	})
	r.Strike()
}

func (r *Run) freeze(s *system.Service, d time.Duration) {
	r.signal(s, syscall.SIGSTOP)
	r.Cleanup(func() { _ = s.Signal(syscall.SIGCONT) }) // else it cannot stop
	r.Hold(d)
	r.signal(s, syscall.SIGCONT)
}

func (r *Run) signal(s *system.Service, signal syscall.Signal) {
	if err := s.Signal(signal); err != nil {
		r.Fatalf("%v to %s: %v", signal, s.ID(), err)
	}
}

func joinAndLeave(r *Run) {
	for n := range 10 {
		s := r.System.Service(system.Persister, 1)
		if n%2 == 0 {
			if r.Random.IntN(2) == 0 {
				s.Stop(r)
			} else {
				s.Kill()
			}
		} else {
			s.Start()
		}
		r.Hold(2 * time.Second)
	}
	r.System.Service(system.Persister, 1).AwaitReady(r)
}
