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
	name := req.GetBallot()
	if name == "" {
		name = defaultBallot
	}
	v := vote{voter: req.GetVoter(), label: req.GetVoterLabel(), choices: req.GetChoices()}
	if r := v.identifyBy(req); r != nil {
		return v, r
	}
	b := ballots.find(name)
	if b == nil {
		return v, ballots.missing()
	}
	v.ballot = b
	if r := v.checkVoter(); r != nil {
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
	if v.voter == "" && v.ballot.rules.VotesPerVoter > 0 {
		return invalid("voter: needed, since the ballot limits the votes of each")
	}
	return nil
}

func (v *vote) checkChoices() *refusal {
	if len(v.choices) == 0 || len(v.choices) > maxChoices {
		return invalid(fmt.Sprintf("choices: 1 to %d", maxChoices))
	}
	for i, c := range v.choices {
		if c.GetCount() < 1 || c.GetCount() > maxCount {
			return invalid(fmt.Sprintf("choices[%d].count: 1 to %d", i, maxCount))
		}
		if !v.ballot.allows(c.GetCandidate()) {
			return invalid(fmt.Sprintf("choices[%d].candidate: no candidate of this ballot", i))
		}
	}
	return nil
}

func (v *vote) takeTicket(req *votev1.Vote, keys *ticket.Keys) *refusal {
	switch p := req.GetPermit().(type) {
	case *votev1.Vote_NewestTicket:
		if !p.NewestTicket {
			return invalid("newest_ticket: true, or give a ticket")
		}
		return nil
	case *votev1.Vote_Ticket:
		if form := ticket.Form(v.ballot.rules.TicketForm); form.Plain() {
			return v.takePlain(form, p.Ticket.GetValue())
		}
		claims, err := keys.Verify(p.Ticket.GetValue())
		if err != nil || claims.Ballot != v.ballot.rules.Name {
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
