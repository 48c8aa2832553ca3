package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/tools/e2e/internal/fixture"
	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/system"
	"github.com/littlevote/littlevote/tools/internal/voter"
)

// TestS17ProducerFailover kills the ticket-service that mints. Tickets must go on without a gap, and the other one must hold
// the lock within a lease.
func TestS17ProducerFailover(t *testing.T) {
	for _, test := range []struct {
		lock     string
		interval time.Duration
		lease    time.Duration
		flags    []string
	}{
		{lock: "redis", interval: time.Second, lease: 500 * time.Millisecond},
		// etcd grants no less than two seconds.
		{lock: "etcd", interval: 2500 * time.Millisecond, lease: 2 * time.Second},
	} {
		t.Run(test.lock, func(t *testing.T) {
			flags := []string{
				"--ticket-lock=" + test.lock, "--ticket-lock-ttl=" + test.lease.String(), "--ticket-interval=" + test.interval.String(),
			}
			if test.lock == "etcd" {
				flags = append(flags, "--ticket-lock-etcd-endpoints="+strings.Join(testenv.Etcd(t), ","))
			}
			s := fixture.Start(t, system.Config{Replicas: 2, Flags: map[system.Kind][]string{system.Ticket: flags}})
			holder := awaitHolder(t, s.Service(system.Ticket, 0), s.Service(system.Ticket, 1))
			other := s.Service(system.Ticket, 0)
			if other == holder {
				other = s.Service(system.Ticket, 1)
			}
			last := freshTicket(t, s.Gateways[0], "main")
			holder.Kill()
			killed := time.Now()
			awaitHolder(t, other)
			took := time.Since(killed)
			t.Logf("lock %s: the other one holds it %v after the kill, the lease is %v", test.lock, took.Round(time.Millisecond), test.lease)
			if took > test.lease+slack {
				t.Errorf("the lock was taken over after %v", took)
			}
			for range 3 {
				next := awaitTicket(t, s.Gateways[0], "main", last.Version)
				if !next.CreatedAt.Equal(last.ExpiresAt) {
					t.Errorf("ticket %s begins at %v, the one before ended at %v", next.Version, next.CreatedAt, last.ExpiresAt)
				}
				last = next
			}
			history := &checker.History{}
			v := voter.Voter{Client: s.Gateways[0], Ballot: "main", History: history}
			if answer, a := v.Vote(t.Context(), last, voter.NewKey(), "A"); a.Outcome != checker.Counted {
				t.Errorf("a vote with the other one's ticket: %+v (%s)", answer, a.Code)
			}
			s.Verify(t, s.Gateways[0], history)
		})
	}
}

// awaitHolder waits until one of the ticket-services says that it holds the lock, and returns it.
func awaitHolder(t *testing.T, services ...*system.Service) *system.Service {
	t.Helper()
	var holder *system.Service
	testenv.Eventually(t, progressTimeout, func() error {
		for _, one := range services {
			held, err := holdsLock(one)
			if err != nil {
				return err
			}
			if held {
				holder = one
				return nil
			}
		}
		return errors.New("nobody holds the lock")
	})
	return holder
}

func holdsLock(s *system.Service) (bool, error) {
	resp, err := http.Get("http://" + s.Admin + "/metrics")
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return false, err
	}
	found := regexp.MustCompile(`(?m)^littlevote_ticket_lock_held(?:\{.*\})? ([01])$`).FindSubmatch(text)
	if found == nil {
		return false, fmt.Errorf("%s has no metric littlevote_ticket_lock_held", s.Name)
	}
	return string(found[1]) == "1", nil
}
