package redisledger

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
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
	KeySlice    = 2 * time.Minute
	KeyTTL      = 6 * time.Minute // a key is remembered for at least 4 minutes, wherever in its slice it came
	DoneSlice   = 5 * time.Minute
	DoneTTL     = 10 * time.Minute
)

// ErrWrongEpoch says that this Redis, or this name, does not hold the epoch's ledger. The call had no effect.
var ErrWrongEpoch = errors.New("redisledger: not the ledger of this epoch")

// Ledger calls the scripts.
type Ledger struct{ rdb redis.UniversalClient }

// New returns a ledger over a client that must not retry by itself (see Options).
func New(rdb redis.UniversalClient) *Ledger { return &Ledger{rdb: rdb} }

//go:embed lua/common.lua
var common string

//go:embed lua/limits.lua
var limits string

//go:embed lua/cooling.lua
var cooling string

//go:embed lua/whole.lua
var whole string

//go:embed lua/lists.lua
var lists string

//go:embed lua/admit.lua
var admitSource string

//go:embed lua/begin.lua
var beginSource string

//go:embed lua/counts.lua
var countsSource string

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

//go:embed lua/voter.lua
var voterSource string

//go:embed lua/cold.lua
var coldSource string

//go:embed lua/evict.lua
var evictSource string

//go:embed lua/hot.lua
var hotSource string

//go:embed lua/recount.lua
var recountSource string

//go:embed lua/ticket.lua
var ticketSource string

//go:embed lua/mint.lua
var mintSource string

var (
	admitScript    = newScript(limits, admitSource)
	beginScript    = newScript(limits, beginSource)
	countsScript   = newScript(countsSource)
	finishScript   = newScript(finishSource)
	rulesScript    = newScript(rulesSource)
	cutScript      = newScript(whole, cutSource)
	keyScript      = newScript(keySource)
	knownScript    = newScript(knownSource)
	settleScript   = newScript(whole, lists, settleSource)
	claimScript    = newScript(claimSource)
	rememberScript = newScript(rememberSource)
	refundScript   = newScript(limits, refundSource)
	sealScript     = newScript(sealSource)
	dueScript      = newScript(whole, dueSource)
	readScript     = newScript(whole, lists, readSource)
	voterScript    = newScript(limits, voterSource)
	coldScript     = newScript(limits, cooling, coldSource)
	evictScript    = newScript(limits, cooling, evictSource)
	hotScript      = newScript(limits, hotSource)
	recountScript  = newScript(recountSource)
	ticketScript   = newScript(whole, ticketSource)
	mintScript     = newScript(whole, mintSource)
)

// newScript puts what is common in front; each script has only as much of it as it needs, since every call makes all its
// functions anew. A line that begins with "-- mutant NAME: " is a comment, unless this binary was
// built for faults and runs as that known-wrong variant: then it is code.
func newScript(parts ...string) *script {
	source := common + strings.Join(parts, "")
	if faultpoint.Enabled {
		for _, v := range faultpoint.Mutants {
			if faultpoint.Mutant(v.Name) {
				source = strings.ReplaceAll(source, "-- mutant "+v.Name+": ", "")
			}
		}
	}
	return &script{source: source, Script: redis.NewScript(source)}
}

// script is the text of a script, and what the library makes of it.
type script struct {
	*redis.Script

	source string
}

// call is one script with its keys and arguments.
type call struct {
	script *script
	keys   []string
	args   []any
}

// reply is what a script said: its first word and the rest.
type reply struct {
	word string
	rest []any
	err  error
}

// once is a command that the client library must not send again when it got no answer: the first one may still be on
// its way. A redirection to another node of a cluster is followed, since the node that says so ran nothing.
type once struct{ *redis.Cmd }

// NoRetry is asked by the library.
func (once) NoRetry() bool { return true }

// command is a call by the script's hash, or by its text.
func (c call) command(ctx context.Context, name, script string) once {
	args := make([]any, 0, 3+len(c.keys)+len(c.args))
	args = append(args, name, script, len(c.keys))
	for _, k := range c.keys {
		args = append(args, k)
	}
	cmd := redis.NewCmd(ctx, append(args, c.args...)...)
	cmd.SetFirstKeyPos(3)
	return once{cmd}
}

// run sends calls in one pipeline. A script that the node does not know yet had no effect, so it is sent again in full.
func (l *Ledger) run(ctx context.Context, calls ...call) []reply {
	ctx, span := startCalls(ctx, calls)
	cmds := make([]once, len(calls))
	for i, c := range calls {
		cmds[i] = c.command(ctx, "evalsha", c.script.Hash())
	}
	if len(calls) == 1 {
		_ = l.rdb.Process(ctx, cmds[0]) // the command carries its own error
	} else {
		pipe := l.rdb.Pipeline()
		for _, cmd := range cmds {
			_ = pipe.Process(ctx, cmd)
		}
		_, _ = pipe.Exec(ctx)
	}
	replies := make([]reply, len(calls))
	for i, cmd := range cmds {
		if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			cmd = calls[i].command(ctx, "eval", calls[i].script.source)
			_ = l.rdb.Process(ctx, cmd)
			cmds[i] = cmd
		}
		replies[i] = read(cmd.Cmd)
	}
	endCalls(span, cmds)
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
	for _, prefix := range []string{"OOM ", "BUSY ", "LOADING ", "READONLY ", "MASTERDOWN ", "NOAUTH ", "NOSCRIPT ", "CLUSTERDOWN ", "TRYAGAIN ", "MOVED ", "ASK ", "NOREPLICAS ", "ERR max number of clients"} {
		if strings.HasPrefix(re.Error(), prefix) {
			return true
		}
	}
	return false
}

// OutOfMemory says that Redis refused the call because it is at its maxmemory.
func OutOfMemory(err error) bool { return redis.HasErrorPrefix(err, "OOM") }
