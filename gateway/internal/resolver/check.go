package resolver

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/identity"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"

	"github.com/littlevote/littlevote/libs/ticket"
)

const (
	maxNames   = 64  // of one vote
	maxName    = 256 // bytes; the ballot's rules are stricter
	maxToken   = 128 // bytes, as the query-service has it
	maxVersion = 64  // bytes; three numbers

	// ticketMargin is how far a ticket's time and the clock here may differ before the gateway refuses by itself.
	ticketMargin = 10 * time.Minute
)

// ballotName returns the full name of the caller's ballot of this id, the default for none, and whether the id is well
// formed.
func ballotName(ctx context.Context, given *string) (string, bool) {
	ballot, ok := identity.From(ctx).Tenant.Ballot(given)
	return ballot.Full(), ok
}

// validName refuses what no ballot allows. U+FFFD stands for bytes that were no text.
func validName(name string) bool {
	return name != "" && len(name) <= maxName && !strings.ContainsRune(name, utf8.RuneError)
}

func validToken(token string) bool {
	if token == "" || len(token) > maxToken {
		return false
	}
	for i := range len(token) {
		c := token[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("._~:=-", c) < 0 {
			return false
		}
	}
	return true
}

// idempotencyKey returns the key in lower case, empty for none, and whether it is a UUID of 36 characters.
func idempotencyKey(given *string) (string, bool) {
	if given == nil {
		return "", true
	}
	return canonicalUUID(*given)
}

// canonicalUUID returns a UUID of 36 characters in lower case, and whether it is one.
func canonicalUUID(given string) (string, bool) {
	const length = 36
	id, err := uuid.Parse(given)
	if err != nil || len(given) != length {
		return "", false
	}
	return id.String(), true
}

// names returns what is wrong with a list of candidates.
func names(list []string, ballot string) (answer.Text, bool) {
	if len(list) == 0 {
		return answer.NamesEmpty, false
	}
	if len(list) > maxNames {
		return answer.NamesTooMany, false
	}
	for _, name := range list {
		if !validName(name) {
			return answer.NameRule(ballot), false
		}
	}
	return 0, true
}

// isDate reports whether a text is a date as RFC 3339 writes it. time.Parse is laxer: it takes hours of one digit,
// commas, and offsets of any size.
func isDate(text string) bool {
	const hour, zone = len("2006-01-02T"), len("+00:00")
	if _, err := time.Parse(time.RFC3339, text); err != nil {
		return false
	}
	if text[hour+2] != ':' || strings.Contains(text, ",") {
		return false
	}
	if strings.HasSuffix(text, "Z") {
		return true
	}
	offset := text[len(text)-zone:]
	return offset[1:3] < "24" && offset[4:6] < "60"
}

// checkTicket returns OK, or why a ticket can't admit a vote on the ballot. What passes is still for the ledger to
// decide. Where the vote has a key the time does not count: the vote may have been admitted long ago, and then its
// answer is that of the first time, whatever the ticket.
func checkTicket(keys *ticket.Keys, ref *votev1.TicketRef, ballot string, keyed bool, now time.Time) statusv1.Code {
	if ref.GetValue() == "" || len(ref.GetValue()) > ticket.MaxLength || len(ref.GetVersion()) > maxVersion {
		return statusv1.Code_CODE_TICKET_INVALID
	}
	if ticket.IsPlain(ref.GetValue()) {
		return statusv1.Code_CODE_OK // a form that says nothing of itself: only the ledger knows such a ticket
	}
	claims, err := keys.Verify(ref.GetValue())
	switch {
	case err != nil || claims.Ballot != ballot || claims.Version() != ref.GetVersion():
		return statusv1.Code_CODE_TICKET_INVALID
	case keyed:
		return statusv1.Code_CODE_OK
	case now.After(claims.ExpiresAt.Add(ticketMargin)):
		return statusv1.Code_CODE_TICKET_EXPIRED
	case now.Before(claims.IssuedAt.Add(-ticketMargin)):
		return statusv1.Code_CODE_TICKET_INVALID
	default:
		return statusv1.Code_CODE_OK
	}
}
