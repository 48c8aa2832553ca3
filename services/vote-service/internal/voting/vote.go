package voting

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/pgledger"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// vote is a request that obeys its ballot's rules.
type vote struct {
	ballot   *ballot
	rules    *rules    // of the ballot, as they were when this was checked
	id       uuid.UUID // the idempotency key, if keyed
	keyed    bool
	bodyHash [16]byte // set if keyed
	ticket   string   // the value; empty stands for the newest
	voter    string   // as authenticated; may be empty
	label    string   // as claimed
	choices  []*votev1.Choice
	unlisted bool // a choice is not on the ballot's closed list

	retracts uuid.UUID // the vote that this takes back; Nil: none
	replaces bool      // this is a change: it gives something too
	taken    []*votev1.Choice
	last     bool  // retracts is the voter's last vote for a candidate, whichever that is
	again    bool  // … and was looked up for the second time
	period   int64 // of the vote that a retraction takes back

	// What Postgres said, and in which epoch it was asked: in any other one it proves nothing.
	freeIn      epoch.Ledger // it does not know the key
	freeAt      time.Time    // when that was asked
	votesIn     epoch.Ledger
	votesAt     time.Time
	votes       []uuid.UUID // the voter's votes that count
	votesPeriod int64       // … in this period
}

// retraction says that the vote takes back, and gives nothing.
func (v *vote) retraction() bool { return v.retracts != uuid.Nil && !v.replaces }

// deltas are all that the vote adds to counts, what it takes back first.
func (v *vote) deltas() []*votev1.Choice {
	if len(v.taken) == 0 {
		return v.choices
	}
	return slices.Concat(v.taken, v.choices)
}

// format is that of a record with the vote in it; see events.FormatFor.
func (v *vote) format() int32 {
	switch {
	case v.replaces, v.rules.Ticketless && !v.retraction():
		return 3
	case v.voter != "":
		return 2
	default:
		return 1
	}
}

// candidate is the one that the vote is for, or what it takes back was for; empty if there are several.
func (v *vote) candidate() string {
	if len(v.choices) != 1 {
		return ""
	}
	return v.choices[0].GetCandidate()
}

// weight estimates how many bytes the vote adds to a batch.
func (v *vote) weight() int {
	n := 64 + len(v.voter) + len(v.label) + 16*len(v.votes)
	for _, c := range v.choices {
		n += 16 + len(c.GetCandidate())
	}
	for _, c := range v.taken {
		n += 16 + len(c.GetCandidate())
	}
	return n
}

// kind names what a vote does, for its hash.
func (v *vote) kind() string {
	switch {
	case v.last:
		return "retract the last"
	case v.replaces:
		return "replace " + v.retracts.String()
	case v.retraction():
		return "retract " + v.retracts.String()
	default:
		return "vote"
	}
}

// hashBody identifies what must match when a key comes again: kind, ballot, voter and the sum per candidate. The ticket
// is not part of it, since a late retry carries another one.
func (v *vote) hashBody() [16]byte {
	choices := v.choices
	sums := make(map[string]int64, len(choices))
	names := make([]string, 0, len(choices))
	for _, c := range choices {
		if _, ok := sums[c.GetCandidate()]; !ok {
			names = append(names, c.GetCandidate())
		}
		sums[c.GetCandidate()] += c.GetCount()
	}
	slices.SortFunc(names, strings.Compare)
	var buf []byte
	text := func(s string) {
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(s)))
		buf = append(buf, s...)
	}
	text(v.kind())
	text(v.ballot.name)
	text(v.voter)
	text(v.label)
	for _, n := range names {
		text(n)
		buf = binary.BigEndian.AppendUint64(buf, uint64(sums[n]))
	}
	sum := sha256.Sum256(buf)
	return [16]byte(sum[:16])
}

// job is a vote on its way, with the place for its verdict.
type job struct {
	vote
	verdict *votev1.Verdict
	call    *call
	trace   *traced // nil for nearly all

	introduced bool // its ballot was brought into the ledger for it
	same       bool // its key was used before: it counts since then, and may have been retracted since
}

// call is one RPC that waits for its verdicts.
type call struct {
	left atomic.Int32
	done chan struct{}
}

func newCall(votes int) *call {
	c := &call{done: make(chan struct{})}
	c.left.Store(int32(votes))
	return c
}

// answered is called once per vote, after its verdict is written.
func (c *call) answered() {
	if c.left.Add(-1) == 0 {
		close(c.done)
	}
}

// refusal is why a vote does not count, or may not.
type refusal struct {
	code       statusv1.Code
	outcome    statusv1.Outcome
	retryable  bool
	retryAfter time.Duration
	detail     string
}

// Everything the engine can say beside success.
var (
	refusedExpired    = refuse(statusv1.Code_CODE_TICKET_EXPIRED, "the ticket has expired")
	refusedSuperseded = refuse(statusv1.Code_CODE_TICKET_SUPERSEDED, "a newer ticket is there")
	refusedExhausted  = refuse(statusv1.Code_CODE_TICKET_EXHAUSTED, "all uses of the ticket are taken")
	refusedInvalid    = refuse(statusv1.Code_CODE_TICKET_INVALID, "not a ticket of this ballot, or value and version do not belong together")
	refusedClosed     = refuse(statusv1.Code_CODE_BALLOT_CLOSED, "the ballot is not open")
	refusedNoBallot   = refuse(statusv1.Code_CODE_BALLOT_NOT_FOUND, "there is no such ballot")
	refusedReused     = refuse(statusv1.Code_CODE_KEY_REUSED, "the idempotency key was used before with another body")
	refusedAhead      = refuse(statusv1.Code_CODE_INVALID_ARGUMENT, "idempotency_key: a UUIDv7 of a time that is still to come")
	refusedLimit      = refuse(statusv1.Code_CODE_VOTER_LIMIT, "the voter has used all votes that the ballot allows")
	refusedNoVote     = refuse(statusv1.Code_CODE_VOTE_NOT_FOUND, "the voter has no such vote, or has retracted it")
	refusedFullTally  = refuse(statusv1.Code_CODE_INVALID_ARGUMENT, "choices: a candidate has as many votes as one may have")
	refusedNames      = refuse(statusv1.Code_CODE_INVALID_ARGUMENT, "the ballot takes no more candidates")
	refusedFull       = again(statusv1.Code_CODE_OVERLOADED, 100*time.Millisecond, "too many votes wait")
	refusedAway       = again(statusv1.Code_CODE_UNAVAILABLE, 500*time.Millisecond, "the ledger cannot be reached or is being moved; nothing happened")
	unknown           = refusal{
		code:       statusv1.Code_CODE_OUTCOME_UNKNOWN,
		outcome:    statusv1.Outcome_OUTCOME_UNKNOWN,
		retryable:  true,
		retryAfter: time.Second,
		detail:     "the vote may count or not; send the same idempotency key again to find out",
	}
)

func refuse(code statusv1.Code, detail string) refusal {
	return refusal{code: code, outcome: statusv1.Outcome_OUTCOME_NONE, detail: detail}
}

// again refuses what may be tried again as it is.
func again(code statusv1.Code, after time.Duration, detail string) refusal {
	r := refuse(code, detail)
	r.retryable, r.retryAfter = true, after
	return r
}

func invalid(detail string) *refusal {
	r := refuse(statusv1.Code_CODE_INVALID_ARGUMENT, detail)
	return &r
}

// refuse answers a vote that does not count, or may not.
func (j *job) refuse(r refusal, at time.Time) {
	v := j.verdict
	v.Code, v.Outcome, v.Retryable, v.Detail = r.code, r.outcome, r.retryable, r.detail
	if r.retryAfter > 0 {
		v.RetryAfter = durationpb.New(r.retryAfter)
	}
	if j.ticket == "" && (r.code == statusv1.Code_CODE_TICKET_EXPIRED || r.code == statusv1.Code_CODE_TICKET_EXHAUSTED) {
		v.Retryable = true // whoever takes the newest ticket finds another one next time
	}
	v.DecidedAt = timestamppb.New(at)
	j.identify()
	j.endTrace()
	j.call.answered()
}

// succeed answers a vote that counts.
func (j *job) succeed(token string, totals []*votev1.Total, admission int64, at time.Time) {
	v := j.verdict
	v.Code, v.Outcome = statusv1.Code_CODE_OK, statusv1.Outcome_OUTCOME_COUNTED
	v.Token, v.AdmissionNumber = token, admission
	if j.shows() {
		v.Totals = totals
	}
	v.DecidedAt = timestamppb.New(at)
	j.identify()
	j.endTrace()
	j.call.answered()
}

// shows says whether the voter may see counts with the success.
func (j *job) shows() bool {
	switch {
	case j.rules.Visibility == pgledger.VisibleAlways, faultpoint.Mutant("hidden-shown"):
		return true
	case j.rules.Visibility == pgledger.VisibleAfterVote:
		return !j.retraction() && !j.same
	default:
		return false
	}
}

func (j *job) identify() {
	if j.id != uuid.Nil {
		j.verdict.VoteId = j.id.String()
	}
}
