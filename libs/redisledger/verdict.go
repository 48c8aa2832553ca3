package redisledger

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Code is what a script decided about a vote.
type Code string

// The codes of a verdict. Same and Pending name the batch that the vote's key was admitted with, Busy the one that
// changed the voter's votes last.
const (
	OK          Code = "ok"
	Expired     Code = "expired"
	Superseded  Code = "superseded"
	Exhausted   Code = "exhausted"
	Closed      Code = "closed"
	Overloaded  Code = "overloaded"
	Names       Code = "names"    // the open list has no room for the vote's new names
	LookUp      Code = "lookup"   // the key must first be looked up in Postgres
	Ahead       Code = "ahead"    // the key tells a time that has not come yet
	Reused      Code = "reused"   // the key came before, with another body
	Same        Code = "same"     // the key came before, and its batch is settled
	Pending     Code = "pending"  // the key came before, and its batch is not yet settled
	LookUpVoter Code = "voter"    // the voter's votes, of the verdict's Period where the ballot has such, must first be looked up in Postgres
	NoVoter     Code = "novoter"  // the ballot limits votes per voter, and the vote has none
	NoTicket    Code = "noticket" // the ballot has tickets, and the vote names none
	NotOne      Code = "notone"   // the ballot limits votes per candidate, and the vote is not for one
	Busy        Code = "busy"     // the voter's last batch is not yet settled
	Limit       Code = "limit"    // the voter has as many votes as the ballot allows
	NoVote      Code = "novote"   // the voter has no such vote to retract, or has retracted it
	Clock       Code = "clock"    // the batch's id tells another time than Redis does
)

// Verdict is what admission decided, in full: with the payload it is enough to finish the batch.
type Verdict struct {
	At            time.Time // Redis TIME
	First         int64     // admission number of the first accepted vote
	TicketVersion string    // of the newest ticket; empty if there is none
	Groups        []GroupVerdict
	Entries       []EntryVerdict
}

// GroupVerdict accepts the first votes of a group; Code says why not the rest.
type GroupVerdict struct {
	Accepted int
	Code     Code
}

// EntryVerdict decides one vote.
type EntryVerdict struct {
	Code   Code
	Batch  uuid.UUID // with Same, Pending and Busy
	Period int64     // with LookUpVoter, on a ballot with a limit per period
}

// Accepted returns how many votes were accepted.
func (v *Verdict) Accepted() int {
	n := 0
	for _, g := range v.Groups {
		n += g.Accepted
	}
	for _, e := range v.Entries {
		if e.Code == OK {
			n++
		}
	}
	return n
}

var errVerdict = errors.New("redisledger: a verdict does not parse")

// parseVerdict reads "now first version|accepted:code,…|code,…".
func parseVerdict(text string) (Verdict, error) {
	parts := strings.Split(text, "|")
	if len(parts) != 3 {
		return Verdict{}, errVerdict
	}
	head := strings.Fields(parts[0])
	if len(head) != 3 {
		return Verdict{}, errVerdict
	}
	now, err1 := strconv.ParseInt(head[0], 10, 64)
	first, err2 := strconv.ParseInt(head[1], 10, 64)
	if err1 != nil || err2 != nil {
		return Verdict{}, errVerdict
	}
	v := Verdict{At: time.UnixMilli(now), First: first}
	if head[2] != "-" {
		v.TicketVersion = head[2]
	}
	for g := range split(parts[1]) {
		n, code, ok := strings.Cut(g, ":")
		accepted, err := strconv.Atoi(n)
		if !ok || err != nil {
			return Verdict{}, errVerdict
		}
		v.Groups = append(v.Groups, GroupVerdict{Accepted: accepted, Code: Code(code)})
	}
	for e := range split(parts[2]) {
		code, detail, named := strings.Cut(e, ":")
		ev := EntryVerdict{Code: Code(code)}
		var err error
		switch {
		case named && ev.Code == LookUpVoter:
			ev.Period, err = strconv.ParseInt(detail, 10, 64)
		case named:
			ev.Batch, err = uuid.Parse(detail)
		}
		if err != nil {
			return Verdict{}, errVerdict
		}
		v.Entries = append(v.Entries, ev)
	}
	return v, nil
}

// split yields the parts of a comma-separated list; none for the empty list.
func split(s string) func(func(string) bool) {
	return func(yield func(string) bool) {
		if s == "" {
			return
		}
		strings.SplitSeq(s, ",")(yield)
	}
}
