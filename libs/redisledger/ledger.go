package redisledger

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/libs/faultpoint"
)

// How long Redis remembers, and how it is sliced. A key that is looked up in Postgres counts only if the persister's
// lag is under a minute and no batch waits longer than that, so the memory of keys covers both twice.
const (
	YoungPast   = 2 * time.Minute // a UUIDv7 this young needs no look-up
	YoungFuture = time.Minute     // … nor one this far ahead of Redis TIME
	keySlice    = 2 * time.Minute
	keyTTL      = 6 * time.Minute // a key is remembered for at least 4 minutes, wherever in its slice it came
	doneSlice   = 5 * time.Minute
	doneTTL     = 10 * time.Minute
)

// ErrWrongEpoch says that this Redis, or this name, does not hold the epoch's ledger. The call had no effect.
var ErrWrongEpoch = errors.New("redisledger: not the ledger of this epoch")

// Ledger calls the scripts.
type Ledger struct{ rdb redis.UniversalClient }

// New returns a ledger over a client that must not retry by itself (see Options).
func New(rdb redis.UniversalClient) *Ledger { return &Ledger{rdb: rdb} }

// Open connects to a Redis with the settings that scripts need: no retries by the library, and every call bounded by
// timeout.
func Open(url string, poolSize int, timeout time.Duration) (redis.UniversalClient, error) {
	redis.SetLogger(libraryLog{})
	opts, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("redis.url: %w", err)
	}
	opts.MaxRetries = -1
	opts.DialerRetries = 1
	opts.PoolSize = poolSize
	opts.DialTimeout = timeout
	opts.ReadTimeout = timeout
	opts.WriteTimeout = timeout
	opts.PoolTimeout = timeout
	opts.ContextTimeoutEnabled = true
	opts.DisableIdentity = true
	return redis.NewClient(opts), nil
}

// libraryLog keeps the client library's own lines out of the way: it tells every failed dial, and so does every caller.
type libraryLog struct{}

func (libraryLog) Printf(ctx context.Context, format string, args ...any) {
	slog.DebugContext(ctx, fmt.Sprintf(format, args...)) //nolint:sloglint // the library's text is all there is
}

//go:embed lua/common.lua
var common string

//go:embed lua/admit.lua
var admitSource string

//go:embed lua/begin.lua
var beginSource string

//go:embed lua/finish.lua
var finishSource string

//go:embed lua/rules.lua
var rulesSource string

//go:embed lua/cut.lua
var cutSource string

//go:embed lua/key.lua
var keySource string

//go:embed lua/known.lua
var knownSource string

//go:embed lua/settle.lua
var settleSource string

//go:embed lua/claim.lua
var claimSource string

//go:embed lua/remember.lua
var rememberSource string

//go:embed lua/refund.lua
var refundSource string

//go:embed lua/seal.lua
var sealSource string

//go:embed lua/due.lua
var dueSource string

//go:embed lua/read.lua
var readSource string

//go:embed lua/ticket.lua
var ticketSource string

//go:embed lua/mint.lua
var mintSource string

var (
	admitScript    = script(admitSource)
	beginScript    = script(beginSource)
	finishScript   = script(finishSource)
	rulesScript    = script(rulesSource)
	cutScript      = script(cutSource)
	keyScript      = script(keySource)
	knownScript    = script(knownSource)
	settleScript   = script(settleSource)
	claimScript    = script(claimSource)
	rememberScript = script(rememberSource)
	refundScript   = script(refundSource)
	sealScript     = script(sealSource)
	dueScript      = script(dueSource)
	readScript     = script(readSource)
	ticketScript   = script(ticketSource)
	mintScript     = script(mintSource)
)

// script puts what is common in front. A line that begins with "-- mutant NAME: " is a comment, unless this binary was
// built for faults and runs as that known-wrong variant: then it is code.
func script(source string) *redis.Script {
	source = common + source
	if faultpoint.Enabled {
		for _, v := range faultpoint.Mutants {
			if faultpoint.Mutant(v.Name) {
				source = strings.ReplaceAll(source, "-- mutant "+v.Name+": ", "")
			}
		}
	}
	return redis.NewScript(source)
}

// call is one script with its keys and arguments.
type call struct {
	script *redis.Script
	keys   []string
	args   []any
}

// reply is what a script said: its first word and the rest.
type reply struct {
	word string
	rest []any
	err  error
}

// run sends calls in one pipeline. A script that Redis does not know yet had no effect, so it is loaded and sent again.
func (l *Ledger) run(ctx context.Context, calls ...call) []reply {
	cmds := make([]*redis.Cmd, len(calls))
	if len(calls) == 1 {
		cmds[0] = l.rdb.EvalSha(ctx, calls[0].script.Hash(), calls[0].keys, calls[0].args...)
	} else {
		pipe := l.rdb.Pipeline()
		for i, c := range calls {
			cmds[i] = pipe.EvalSha(ctx, c.script.Hash(), c.keys, c.args...)
		}
		_, _ = pipe.Exec(ctx) // each command carries its own error
	}
	replies := make([]reply, len(calls))
	for i, cmd := range cmds {
		if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			cmd = calls[i].script.Eval(ctx, l.rdb, calls[i].keys, calls[i].args...)
		}
		replies[i] = read(cmd)
	}
	return replies
}

func (l *Ledger) one(ctx context.Context, c call) reply { return l.run(ctx, c)[0] }

func read(cmd *redis.Cmd) reply {
	values, err := cmd.Slice()
	if err != nil {
		return reply{err: err}
	}
	word, ok := values[0].(string)
	if !ok {
		return reply{err: fmt.Errorf("redisledger: reply begins with %T", values[0])}
	}
	if word == "WRONG_EPOCH" {
		return reply{err: ErrWrongEpoch}
	}
	return reply{word: word, rest: values[1:]}
}

// NoEffect says of an error that the call certainly changed nothing: it was refused at the door, or never sent.
// Of any other error nothing is known.
func NoEffect(err error) bool {
	if errors.Is(err, ErrWrongEpoch) || errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted) {
		return true
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return true
	}
	return Refused(err)
}

// Refused says that Redis answered, and that it ran nothing.
func Refused(err error) bool {
	var re redis.Error
	if !errors.As(err, &re) {
		return false
	}
	for _, prefix := range []string{"OOM ", "BUSY ", "LOADING ", "READONLY ", "MASTERDOWN ", "NOAUTH ", "NOSCRIPT ", "CLUSTERDOWN "} {
		if strings.HasPrefix(re.Error(), prefix) {
			return true
		}
	}
	return false
}

// OutOfMemory says that Redis refused the call because it is at its maxmemory.
func OutOfMemory(err error) bool { return redis.HasErrorPrefix(err, "OOM") }
