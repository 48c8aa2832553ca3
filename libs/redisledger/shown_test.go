package redisledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

// shown returns the value that programs of others find, and how long it stays.
func (b *booth) shown() (string, time.Duration) {
	b.t.Helper()
	key := "{" + boothBallot + "}:" + b.fence.NS + ":graphql_ticket"
	value, err := b.rdb.Get(b.t.Context(), key).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		b.t.Fatal(err)
	}
	stays, err := b.rdb.PTTL(b.t.Context(), key).Result()
	if err != nil {
		b.t.Fatal(err)
	}
	return value, stays
}

func TestS56TheTicketStandsInGraphqlTicketUntilItIsOver(t *testing.T) {
	b := newBooth(t)
	const life = time.Minute
	for number := int64(1); number <= 2; number++ {
		m := proposal(number, 0)
		m.Shown = true
		b.want(m, redisledger.MintDone)
		// The second is the successor: its time has not come yet.
		if value, stays := b.shown(); value != "value-1" || stays <= life/2 || stays > life {
			t.Errorf("after ticket %d: %q for %v", number, value, stays)
		}
	}
	state := b.state()
	if state.Newest.Value != "value-1" || state.Successor != "7.2.0" {
		t.Errorf("%+v", state)
	}
}

// The key goes with its ticket, and the ticket after it stands there once the minter has seen the rotation.
func TestS56GraphqlTicketFollowsTheRotation(t *testing.T) {
	b := newBooth(t)
	const life = 300 * time.Millisecond
	for number := int64(1); number <= 3; number++ {
		if number == 3 {
			testenv.Eventually(t, 10*time.Second, func() error {
				if b.state().Successor != "" {
					return errors.New("the first window is not over")
				}
				return nil
			})
		}
		m := proposal(number, 0)
		m.Interval, m.Shown = life, true
		b.want(m, redisledger.MintDone)
	}
	if value, stays := b.shown(); value == "value-1" || stays > life {
		t.Errorf("%q for %v", value, stays)
	}
	testenv.Eventually(t, 10*time.Second, func() error {
		if value, _ := b.shown(); value != "" {
			return errors.New("the key outlives its ticket")
		}
		return nil
	})
}

func TestOtherTicketsAreNotShown(t *testing.T) {
	b := newBooth(t)
	b.want(proposal(1, 0), redisledger.MintDone)
	if value, _ := b.shown(); value != "" {
		t.Errorf("the value %q stands where anybody looks", value)
	}
}
