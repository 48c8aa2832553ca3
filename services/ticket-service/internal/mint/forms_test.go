package mint

import (
	"bytes"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/libs/ticket"
	"github.com/littlevote/littlevote/services/ticket-service/internal/ballots"
)

func formed(name string, form ticket.Form, interval time.Duration) ballots.Ballot {
	b := open(name, interval)
	b.Form = form
	return b
}

// Tickets have the form of their ballot in each ledger, and versions as all others.
func TestS43S56TicketsOfPublishedClientsInEveryLedger(t *testing.T) {
	t.Parallel()
	const interval = time.Minute
	s := newSite(t, formed("cast", ticket.HMAC, interval), formed("tiny", ticket.UUID, interval), open(main, interval))
	s.withPostgres()
	s.start(time.Second, nil)
	for _, in := range []struct {
		epoch int64
		open  func(int64)
	}{{3, func(int64) {}}, {4, s.openPostgres}, {5, s.openEpoch}} {
		in.open(in.epoch)
		for name, form := range map[string]ticket.Form{"cast": ticket.HMAC, "tiny": ticket.UUID} {
			state := s.until(name, "a ticket and its successor", complete)
			if !form.Fits(state.Newest.Value) || !strings.HasPrefix(state.Newest.Version, fmt.Sprintf("%d.1.", in.epoch)) {
				t.Errorf("epoch %d: %s has %+v", in.epoch, name, *state.Newest)
			}
		}
		if state := s.until(main, "a ticket", redisledger.TicketState.Usable); ticket.IsPlain(state.Newest.Value) {
			t.Errorf("epoch %d: main has %+v", in.epoch, *state.Newest)
		}
		if s.epochs.open.Load().Mode != epoch.Redis {
			continue
		}
		for name, want := range map[string]bool{"tiny": true, "cast": false, main: false} {
			key := fmt.Sprintf("{%s}:%s:graphql_ticket", name, s.fence().NS)
			shown, err := s.rdb.Get(t.Context(), key).Result()
			if (err == nil) != want || want && shown != s.state(name).Newest.Value {
				t.Errorf("epoch %d: %s holds %q, %v", in.epoch, key, shown, err)
			}
		}
	}
}

// said collects what is logged.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(line)
}

func (s *said) matches(pattern string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(regexp.MustCompile(pattern).FindAllString(s.text.String(), -1))
}

func TestS55CreateTicketIsLoggedAsItWent(t *testing.T) {
	t.Parallel()
	const interval = 200 * time.Millisecond
	s := newSite(t, formed("tiny", ticket.UUID, interval), open(main, interval))
	var heard said
	s.log = slog.New(slog.NewTextHandler(&heard, &slog.HandlerOptions{Level: slog.LevelInfo}))
	r := s.start(time.Second, nil)
	r.untilRecorded("tiny", 3)
	r.stop()
	minted := len(r.history.all("tiny")) // a last one may have been minted for which the answer was not waited for
	if n := heard.matches(`msg="create ticket success, \d\d:\d\d:\d\d\.\d{3}" ballot=tiny`); n != minted {
		t.Errorf("%d successes were logged, %d tickets minted", n, minted)
	}
	if n := heard.matches("create ticket failed|ballot=main"); n != 0 {
		t.Errorf("%d lines of failures and of other ballots", n)
	}

	// A Redis that does not answer makes no ticket, and nobody says otherwise.
	s.url = "redis://127.0.0.1:1"
	s.start(time.Second, away{})
	testenv.Eventually(t, 10*time.Second, func() error {
		if heard.matches(`msg="create ticket failed, [^"]*refused[^"]*" ballot=tiny`) == 0 {
			return fmt.Errorf("no failure was logged")
		}
		return nil
	})
	if n := heard.matches("create ticket success, "); n != minted {
		t.Errorf("%d successes were logged, %d tickets minted", n, minted)
	}
}
