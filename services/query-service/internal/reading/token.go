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
	// shortestWait and longestWait bound the pause before the stores are asked again for a token's vote.
	shortestWait = 20 * time.Millisecond
	longestWait  = 200 * time.Millisecond
	// answerTime is kept of a call's time for the answer that a token was not reached.
	answerTime = 50 * time.Millisecond
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
// first store that does, within the time of the call.
func (s *Service) notOlder(ctx context.Context, r *read, shared result) (result, error) {
	if shared.err == nil && reached(shared.counts, r.token) {
		return shared, nil
	}
	call := ctx
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-answerTime))
		defer cancel()
	}
	for wait := shortestWait; ; wait = min(2*wait, longestWait) {
		c, err := s.reader.first(ctx, r.shelf.name, r.shelf.rules.Load().asked(r.names), r.token)
		if err == nil {
			return result{counts: c, ranking: func() *ranking { return newRanking(c.list) }}, nil
		}
		if !pause(ctx, wait) {
			if call.Err() != nil {
				return result{}, call.Err()
			}
			s.log.DebugContext(ctx, "no store has seen a token's vote in time", "ballot", r.shelf.name, "error", err)
			s.metrics.refuse(ctx, reasonToken)
			return result{}, unavailable("no store that answers has seen the vote of this token")
		}
	}
}
