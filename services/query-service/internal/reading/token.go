package reading

import (
	"context"
	"time"

	"github.com/littlevote/littlevote/libs/pgledger"
)

const (
	maxToken = 128 // bytes
	// ahead is how far an epoch's number may be before the clock here. The first epoch's number is the time in seconds and
	// no two changes come within one, so only a token that this system did not make is beyond it.
	ahead = 24 * time.Hour
	// answerPart is the part of a call's time that is kept for the answer that no store has what it asks for.
	answerPart = 10
)

// parseToken returns the token, and whether this system can have made it.
func parseToken(text string) (pgledger.Token, bool) {
	if len(text) > maxToken {
		return pgledger.Token{}, false
	}
	token, err := pgledger.ParseToken(text)
	return token, err == nil && token.Epoch <= time.Now().Add(ahead).Unix()
}

// optionalToken returns the token, nil for none, and whether it is one.
func optionalToken(text string) (*pgledger.Token, bool) {
	if text == "" {
		return nil, true
	}
	token, ok := parseToken(text)
	return &token, ok
}

// reached says that counts hold the vote of the token: where votes are decided, a read shows everything that was
// acknowledged before it, and an epoch begins with everything that was acknowledged in those before.
func reached(c counts, token *pgledger.Token) bool { return !c.stale && c.epoch >= token.Epoch }

// notOlder returns counts that hold the vote of the read's token: those of the shared fetch if they do, else those of the
// first store that does, until ctx ends.
func (s *Service) notOlder(ctx context.Context, r *read, shared result) result {
	if shared.err == nil && reached(shared.counts, r.token) {
		return shared
	}
	q := question{ballot: r.shelf.name, names: r.names, token: r.token, begun: time.Now()}
	for wait := shortestWait; ; wait = min(2*wait, longestWait) {
		c, err := s.reader.first(ctx, q)
		if err == nil {
			c.list = r.shelf.rules.Load().pick(c.list, indexed(c.list), r.names)
			return result{counts: c, ranking: func() *ranking { return newRanking(c.list) }}
		}
		if !pause(ctx, wait) {
			return result{err: err}
		}
	}
}

// inTime returns a context that ends while there is time left to answer the call.
func inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, end.Add(-time.Until(end)/answerPart))
}
