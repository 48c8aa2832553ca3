package voteservice_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/littlevote/littlevote/libs/ticket"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

func TestBadInputIsRefusedAndBurnsNothing(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	ref := w.mint("main", 10, time.Hour)
	w.mint("cast", 10, time.Hour)
	good := vote(ref, "A")
	edit := func(f func(v *votev1.Vote)) *votev1.Vote {
		v := proto.CloneOf(good)
		f(v)
		return v
	}
	choices := func(c ...*votev1.Choice) *votev1.Vote { return edit(func(v *votev1.Vote) { v.Choices = c }) }
	named := func(n string) *votev1.Vote { return choices(&votev1.Choice{Candidate: n, Count: 1}) }
	count := func(n int64) *votev1.Vote { return choices(&votev1.Choice{Candidate: "A", Count: n}) }
	onCast := func(n string) *votev1.Vote {
		return &votev1.Vote{
			Ballot: "cast", Permit: &votev1.Vote_NewestTicket{NewestTicket: true},
			Choices: []*votev1.Choice{{Candidate: n, Count: 1}},
		}
	}
	ticketed := func(value, version string) *votev1.Vote {
		return edit(func(v *votev1.Vote) {
			v.Permit = &votev1.Vote_Ticket{Ticket: &votev1.TicketRef{Value: value, Version: version}}
		})
	}
	other, err := ticket.NewKeys([]byte(strings.Repeat("x", 32)))
	if err != nil {
		t.Fatal(err)
	}
	forged := other.Mint(ticket.Claims{Ballot: "main", Epoch: 1, Number: 1, IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)})
	many := make([]*votev1.Choice, 65)
	for i := range many {
		many[i] = &votev1.Choice{Candidate: "A", Count: 1}
	}
	const (
		badArgument = statusv1.Code_CODE_INVALID_ARGUMENT
		badTicket   = statusv1.Code_CODE_TICKET_INVALID
	)
	for name, c := range map[string]struct {
		vote *votev1.Vote
		code statusv1.Code
	}{
		"no choices":           {choices(), badArgument},
		"65 choices":           {choices(many...), badArgument},
		"empty name":           {named(""), badArgument},
		"lower case":           {named("a"), badArgument},
		"two letters":          {named("AA"), badArgument},
		"trailing space":       {named("A "), badArgument},
		"full width":           {named("Ａ"), badArgument},
		"Cyrillic":             {named("А"), badArgument},
		"zero width":           {named("A\u200b"), badArgument},
		"NUL":                  {named("A\x00"), badArgument},
		"1 MB":                 {named(strings.Repeat("A", 1<<20)), badArgument},
		"one good and one bad": {choices(&votev1.Choice{Candidate: "A", Count: 1}, &votev1.Choice{Candidate: "a", Count: 1}), badArgument},
		"count 0":              {count(0), badArgument},
		"count -1":             {count(-1), badArgument},
		"count 2^31":           {count(math.MaxInt32 + 1), badArgument},
		"open: empty":          {onCast(""), badArgument},
		"open: space":          {onCast(" x"), badArgument},
		"open: newline":        {onCast("x\ny"), badArgument},
		"open: right to left":  {onCast("x\u202ey"), badArgument},
		"open: decomposed":     {onCast("e\u0301"), badArgument},
		"open: 129 bytes":      {onCast(strings.Repeat("x", 129)), badArgument},
		"no permit":            {edit(func(v *votev1.Vote) { v.Permit = nil }), badArgument},
		"newest_ticket false":  {edit(func(v *votev1.Vote) { v.Permit = &votev1.Vote_NewestTicket{} }), badArgument},
		"ticket empty":         {ticketed("", ""), badTicket},
		"ticket garbage":       {ticketed("garbage", ""), badTicket},
		"ticket 1 MB":          {ticketed(strings.Repeat("A", 1<<20), ""), badTicket},
		"ticket with newline":  {ticketed(ref.GetValue()+"\n", ""), badTicket},
		"ticket upper case":    {ticketed(strings.ToUpper(ref.GetValue()), ""), badTicket},
		"ticket forged":        {ticketed(forged, ""), badTicket},
		"wrong version":        {ticketed(ref.GetValue(), "1.2.0"), badTicket},
		"ticket of main":       {edit(func(v *votev1.Vote) { v.Ballot = "cast" }), badTicket},
		"no such ballot":       {edit(func(v *votev1.Vote) { v.Ballot = "nobody" }), statusv1.Code_CODE_BALLOT_NOT_FOUND},
		"ballot injection":     {edit(func(v *votev1.Vote) { v.Ballot = "{main}:*" }), statusv1.Code_CODE_BALLOT_NOT_FOUND},
		"key short":            {withKey(proto.CloneOf(good), "abc"), badArgument},
		"key in braces":        {withKey(proto.CloneOf(good), "{"+newKey()+"}"), badArgument},
		"key without hyphens":  {withKey(proto.CloneOf(good), strings.ReplaceAll(newKey(), "-", "")), badArgument},
		"key 10 KB":            {withKey(proto.CloneOf(good), strings.Repeat("a", 10_000)), badArgument},
		"voter 129 bytes":      {edit(func(v *votev1.Vote) { v.VoterLabel = strings.Repeat("x", 129) }), badArgument},
		"vote id garbage":      {edit(func(v *votev1.Vote) { v.VoteId = "x" }), badArgument},
	} {
		t.Run(name, func(t *testing.T) {
			v := s.cast(t, c.vote)[0]
			wantCode(t, v, c.code, statusv1.Outcome_OUTCOME_NONE)
			if v.GetDetail() == "" || len(v.GetDetail()) > 200 {
				t.Fatalf("detail of %d bytes", len(v.GetDetail()))
			}
		})
	}
	if w.left("main") != 10 || w.left("cast") != 10 || w.live("main", "A") != 0 {
		t.Fatalf("%d and %d uses left, A has %d", w.left("main"), w.left("cast"), w.live("main", "A"))
	}
	wantCounted(t, s.cast(t, good)[0])
}

func TestCallBounds(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	for _, n := range []int{0, 1001} {
		votes := make([]*votev1.Vote, n)
		for i := range votes {
			votes[i] = vote(nil, "A")
		}
		_, err := s.CastVotes(t.Context(), &votev1.CastVotesRequest{Votes: votes})
		if connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Fatalf("%d votes: %v", n, err)
		}
	}
}

func TestOpenBallotTakesAnyName(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	w.mint("cast", 100, time.Hour)
	for _, name := range []string{"alice", "Ünal", "张伟", "' OR 1=1", "__proto__", "redis.call('FLUSHALL')", "{cast}:*"} {
		v := vote(nil, name)
		v.Ballot = "cast"
		for want := range int64(2) { // new, then known
			verdict := s.cast(t, v)[0]
			wantCounted(t, verdict)
			if got := verdict.GetTotals()[0].GetVotes(); got != want+1 {
				t.Fatalf("%s has %d", name, got)
			}
		}
	}
}
