package voting

import (
	"fmt"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"github.com/littlevote/littlevote/libs/ticket"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// Bounds of one vote.
const (
	maxChoices    = 64
	maxNameBytes  = 128
	maxVoterBytes = 128
	maxCount      = math.MaxInt32
	uuidLen       = 36
)

// defaultBallot is meant where a vote names none.
const defaultBallot = "main"

// validate turns a request into a vote, or says what is wrong with it. It asks nobody.
func validate(req *votev1.Vote, ballots *Ballots, keys *ticket.Keys) (vote, *refusal) {
	name := ballotOf(req)
	v := vote{voter: req.GetVoter(), label: req.GetVoterLabel(), choices: req.GetChoices()}
	if r := v.identifyBy(req); r != nil {
		return v, r
	}
	b := ballots.find(name)
	if b == nil {
		return v, ballots.missing()
	}
	v.ballot, v.rules = b, b.now.Load()
	if v.rules.State == stateDraft {
		return v, &refusedClosed // its rules may be others when it opens
	}
	if r := v.checkVoter(); r != nil {
		return v, r
	}
	if r := v.checkReplaces(req); r != nil {
		return v, r
	}
	if r := v.checkChoices(); r != nil {
		return v, r
	}
	if r := v.takeTicket(req, keys); r != nil {
		return v, r
	}
	if v.keyed {
		v.bodyHash = v.hashBody()
	}
	return v, nil
}

// ballotOf is the ballot that a request means.
func ballotOf(req interface{ GetBallot() string }) string {
	if name := req.GetBallot(); name != "" {
		return name
	}
	return defaultBallot
}

// old says that a refusal may come from what is known of the ballot being old.
func (v *vote) old() bool {
	return v.ballot == nil || v.rules.State == stateDraft || v.unlisted
}

// identifyBy takes the vote's id from the request, or makes one.
func (v *vote) identifyBy(req *votev1.Vote) *refusal {
	field, text := "idempotency_key", req.GetIdempotencyKey()
	v.keyed = text != ""
	if !v.keyed {
		field, text = "vote_id", req.GetVoteId()
	}
	if text == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return &refusedAway
		}
		v.id = id
		return nil
	}
	id, err := uuid.Parse(text)
	if err != nil || len(text) != uuidLen || id == uuid.Nil {
		return invalid(field + ": a UUID in its form of 36 characters")
	}
	v.id = id
	return nil
}

func (v *vote) checkVoter() *refusal {
	if len(v.label) > maxVoterBytes || !isPlain(v.label) {
		return invalid(fmt.Sprintf("voter_label: at most %d bytes of printable text", maxVoterBytes))
	}
	if len(v.voter) > maxVoterBytes || !isPlain(v.voter) {
		return invalid(fmt.Sprintf("voter: at most %d bytes of printable text", maxVoterBytes))
	}
	if v.voter == "" && v.rules.VotesPerVoter > 0 {
		return invalid("voter: needed, since the ballot limits the votes of each")
	}
	return nil
}

// checkReplaces takes the vote that this one takes the place of from the request.
func (v *vote) checkReplaces(req *votev1.Vote) *refusal {
	text := req.GetReplaces()
	if text == "" {
		return nil
	}
	id, err := uuid.Parse(text)
	switch {
	case err != nil || len(text) != uuidLen || id == uuid.Nil:
		return invalid("replaces: a UUID in its form of 36 characters")
	case id == v.id:
		return invalid("replaces: another id than the vote's own")
	case v.voter == "":
		return invalid("voter: needed, since a vote can only be changed by its voter")
	case v.rules.PerCandidate:
		return invalid("replaces: the ballot limits the votes for each candidate by itself; retract the other vote")
	}
	v.retracts, v.replaces = id, true
	return nil
}

func (v *vote) checkChoices() *refusal {
	if len(v.choices) == 0 || len(v.choices) > maxChoices {
		return invalid(fmt.Sprintf("choices: 1 to %d", maxChoices))
	}
	if v.rules.PerCandidate && (len(v.choices) != 1 || v.choices[0].GetCount() != 1) {
		return invalid("choices: one, with a count of 1, since the ballot limits the votes for each candidate")
	}
	for i, c := range v.choices {
		if c.GetCount() < 1 || c.GetCount() > maxCount {
			return invalid(fmt.Sprintf("choices[%d].count: 1 to %d", i, maxCount))
		}
		if !v.rules.allows(c.GetCandidate()) {
			v.unlisted = v.rules.listed != nil && IsName(c.GetCandidate())
			return invalid(fmt.Sprintf("choices[%d].candidate: no candidate of this ballot", i))
		}
		if v.ballot.full.has(c.GetCandidate()) {
			return &refusedFullTally
		}
	}
	return nil
}

func (v *vote) takeTicket(req *votev1.Vote, keys *ticket.Keys) *refusal {
	if v.rules.Ticketless {
		if p, ok := req.GetPermit().(*votev1.Vote_NewestTicket); req.GetPermit() == nil || ok && p.NewestTicket {
			return nil
		}
		return invalid("permit: newest_ticket or none, since the ballot has no tickets")
	}
	switch p := req.GetPermit().(type) {
	case *votev1.Vote_NewestTicket:
		if !p.NewestTicket {
			return invalid("newest_ticket: true, or give a ticket")
		}
		return nil
	case *votev1.Vote_Ticket:
		if form := ticket.Form(v.rules.TicketForm); form.Plain() {
			return v.takePlain(form, p.Ticket.GetValue())
		}
		claims, err := keys.Verify(p.Ticket.GetValue())
		if err != nil || claims.Ballot != v.ballot.name {
			return &refusedInvalid
		}
		if version := p.Ticket.GetVersion(); version != "" && version != claims.Version() {
			return &refusedInvalid
		}
		v.ticket = p.Ticket.GetValue()
		return nil
	default:
		return invalid("permit: a ticket or newest_ticket")
	}
}

// takePlain takes a ticket whose value says nothing. Whether it was ever minted the ledger decides: it is the newest, or not.
func (v *vote) takePlain(form ticket.Form, value string) *refusal {
	if !form.Fits(value) {
		return &refusedInvalid
	}
	v.ticket = value
	return nil
}

// IsName says whether an open ballot takes a name: text that people can tell apart from other text by looking at it.
func IsName(s string) bool {
	return s != "" && len(s) <= maxNameBytes && strings.TrimSpace(s) == s && isPlain(s)
}

// isPlain says that a text is valid UTF-8 in composed form, without control, format or other invisible characters.
func isPlain(s string) bool {
	if !utf8.ValidString(s) || !norm.NFC.IsNormalString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
