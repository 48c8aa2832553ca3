package votetrace

import (
	"fmt"
	"strings"
)

// Ledger is what decides a vote.
type Ledger string

// The ledgers. In one of them the log carries the batch to Postgres; past the log it is committed there at once.
const (
	Redis         Ledger = "redis"
	RedisNoLog    Ledger = "redis, past the log"
	postgresqlTag        = "postgresql"
)

// step is one span of the way, found from one that was found before.
type step struct {
	name    string // of the span; with * at its end it begins so
	service string
	from    string // the step before; empty: the root
	linked  bool   // from it over links in both directions, else as its child
	has     []string
}

// steps are the way of a vote that is decided in a ledger.
func steps(ledger Ledger) []step {
	way := []step{
		{name: "POST /graphql", service: "gateway", has: []string{"http.route=/graphql", "http.request.method=POST", "http.response.status_code=200"}},
		{name: "mutation *", service: "gateway", from: "POST /graphql", has: []string{"graphql.operation.type=mutation"}},
		{name: "vote", service: "gateway", from: "mutation *", has: []string{"littlevote.code=OK", "littlevote.outcome=COUNTED", "littlevote.retries", "littlevote.queue_wait_ms"}},
		{name: "CastVotes batch", service: "gateway", from: "vote", linked: true, has: []string{"littlevote.votes"}},
		{name: "littlevote.vote.v1.VoteService/CastVotes", service: "gateway", from: "CastVotes batch", has: []string{"rpc.response.status_code=OK"}},
		{name: "littlevote.vote.v1.VoteService/CastVotes", service: "vote-service", from: "gateway: littlevote.vote.v1.VoteService/CastVotes", has: []string{"rpc.response.status_code=OK"}},
		{name: "decide vote", service: "vote-service", from: "vote", has: []string{"littlevote.code=OK", "littlevote.outcome=COUNTED", "littlevote.attempts", "littlevote.queue_wait_ms"}},
		{name: "vote batch", service: "vote-service", from: "decide vote", linked: true, has: []string{"littlevote.votes", "littlevote.lane", "littlevote.ledger=redis", "littlevote.queue_wait_ms", "littlevote.attempts"}},
		{name: "admit", service: "vote-service", from: "vote batch"},
		{name: "redis admit*", service: "vote-service", from: "admit", has: []string{"db.system.name=redis"}},
		{name: "produce", service: "vote-service", from: "vote batch"},
		{name: "settle", service: "vote-service", from: "vote batch"},
	}
	if ledger == RedisNoLog {
		return append(way,
			step{name: "commit", service: "vote-service", from: "vote batch", has: []string{"littlevote.ledger=postgres"}},
			step{name: "*", service: "vote-service", from: "commit", has: []string{"db.system.name=" + postgresqlTag}})
	}
	return append(way,
		step{name: "apply batch", service: "persister", from: "vote batch"},
		step{name: "persist transaction", service: "persister", from: "apply batch", linked: true, has: []string{"littlevote.records", "littlevote.votes", "littlevote.partitions"}},
		step{name: "* vote_logs", service: "persister", from: "persist transaction", has: []string{"db.system.name=" + postgresqlTag}})
}

// Way follows a vote through the spans, from the request of a trace on. What is missing is an error that says after which step.
func Way(all Spans, trace string, ledger Ledger) error {
	found := map[string]*Span{}
	var missing []string
	for _, s := range steps(ledger) {
		var among Spans
		switch at := found[s.from]; {
		case s.from == "":
			among = all.Roots(trace)
		case at == nil: // that is said already
			continue
		case s.linked:
			among = all.Linked(at)
		default:
			among = all.Below(at)
		}
		fits := among.those(s.fits)
		if len(fits) == 0 {
			missing = append(missing, s.missing(among))
			continue
		}
		found[s.name], found[s.service+": "+s.name] = fits[0], fits[0]
	}
	if len(missing) > 0 {
		return fmt.Errorf("the way of the vote: %s", strings.Join(missing, "; "))
	}
	return nil
}

func (s step) fits(span *Span) bool {
	if !matches(s.name, span.Name) || span.Service != s.service {
		return false
	}
	for _, want := range s.has {
		key, value, given := strings.Cut(want, "=")
		if got, there := span.Attributes[key]; !there || given && got != value {
			return false
		}
	}
	return true
}

// matches compares a name with one that has a * at its beginning or its end.
func matches(pattern, name string) bool {
	if rest, ok := strings.CutPrefix(pattern, "*"); ok {
		return strings.HasSuffix(name, rest)
	}
	if rest, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, rest)
	}
	return name == pattern
}

func (s step) missing(among Spans) string {
	text := fmt.Sprintf("no %q of the %s", s.name, s.service)
	if len(s.has) > 0 {
		text += " with " + strings.Join(s.has, ", ")
	}
	if s.from != "" {
		how := " below "
		if s.linked {
			how = " linked with "
		}
		text += how + fmt.Sprintf("%q", s.from)
	}
	var there []string
	for _, span := range among {
		there = append(there, fmt.Sprintf("%s: %s %v", span.Service, span.Name, span.Attributes))
	}
	return text + fmt.Sprintf(" (there: %q)", there)
}
