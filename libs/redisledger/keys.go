package redisledger

import (
	"strconv"

	"github.com/google/uuid"
)

// Fence names the ledger of one epoch in Redis. On which node each ballot stands is written in the ballot's marker.
type Fence struct {
	Epoch int64
	NS    string // the random name under which the keys stand
}

// Keys builds the key names of one ballot.
type Keys struct{ prefix string }

// Keys returns the names of a ballot's keys under this fence.
func (f Fence) Keys(ballot string) Keys { return Keys{prefix: "{" + ballot + "}:" + f.NS + ":"} }

func (k Keys) marker() string      { return k.prefix + "marker" }
func (k Keys) ticket() string      { return k.prefix + "ticket" }
func (k Keys) newest() string      { return k.prefix + "newestTicketVersion" }
func (k Keys) shown() string       { return k.prefix + "graphql_ticket" }
func (k Keys) outbox() string      { return k.prefix + "outbox" }
func (k Keys) outboxTimes() string { return k.prefix + "outboxTimes" }
func (k Keys) claims() string      { return k.prefix + "claims" }
func (k Keys) tally() string       { return k.prefix + "tally" }
func (k Keys) updated() string     { return k.prefix + "updated" }
func (k Keys) names() string       { return k.prefix + "names" }
func (k Keys) voters() string      { return k.prefix + "voters" }
func (k Keys) seen() string        { return k.prefix + "seen:" }

// done is one hash per stretch of batch ids, so that old ones expire together.
func (k Keys) done(batch uuid.UUID) string {
	sec, _ := batch.Time().UnixTime()
	return k.prefix + "done:" + strconv.FormatInt(sec/int64(DoneSlice.Seconds()), 10)
}

// Pattern matches every key of a name, for all ballots.
func Pattern(ns string) string { return "{*}:" + ns + ":*" }
