package ballots

import (
	"math"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/pgledger"
)

const (
	maxCandidates    = 1000
	maxVotesPerVoter = 100
	maxTitle         = 200 // characters
	maxReason        = 1000
	maxActor         = 128 // bytes
	maxPattern       = 200 // characters
	// maxPatternSize is how often a name's characters may be compared, about: a pattern is matched with every vote.
	maxPatternSize = 2000
	// noCap is how a ticket without a cap is written, as in a ticket's own uses left.
	noCap   = math.MaxInt32
	uuidLen = 36

	shortestTicket, longestTicket = 100 * time.Millisecond, time.Hour
	shortestPeriod, longestPeriod = time.Minute, 366 * 24 * time.Hour
	shortestHot, longestHot       = time.Hour, 366 * 24 * time.Hour
)

var (
	nameFormat   = regexp.MustCompile(`^([a-z0-9-]{1,32}\.)?[a-z0-9-]{1,64}$`)
	tenantFormat = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
)

func checkName(field, name string) error {
	if !nameFormat.MatchString(name) {
		return invalid("%s: expected 1 to 64 of a-z, 0-9 and -, behind the tenant and a dot where there is one", field)
	}
	return nil
}

func checkTenant(tenant string) error {
	if tenant != "" && !tenantFormat.MatchString(tenant) {
		return invalid("tenant: expected 1 to 32 of a-z, 0-9 and -, or nothing for the default tenant")
	}
	return nil
}

func checkActor(actor string) error {
	// Spaces around it would make two people of one.
	if actor == "" || len(actor) > maxActor || !isText(actor) || strings.TrimSpace(actor) != actor {
		return invalid("actor: expected 1 to %d bytes of printable text without spaces around it", maxActor)
	}
	return nil
}

func checkTitle(title string) error {
	if utf8.RuneCountInString(title) > maxTitle || !isText(title) {
		return invalid("title: expected at most %d printable characters", maxTitle)
	}
	return nil
}

func checkReason(reason string) error {
	if reason == "" || utf8.RuneCountInString(reason) > maxReason || !isText(reason) {
		return invalid("reason: expected 1 to %d printable characters", maxReason)
	}
	return nil
}

// isText says that people can read a text in one line, and tell it apart from others.
func isText(s string) bool {
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

func checkID(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != uuidLen || id == uuid.Nil {
		return uuid.Nil, invalid("id: expected a UUID in its form of 36 characters")
	}
	return id, nil
}

// checkPattern says whether a pattern is one that every vote's names can be matched with, at a bounded cost.
func checkPattern(pattern string) error {
	if utf8.RuneCountInString(pattern) > maxPattern || !isText(pattern) {
		return invalid("candidate_pattern: expected at most %d printable characters", maxPattern)
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return invalid("candidate_pattern: expected an RE2 pattern: %v", err)
	}
	if sizeOf(parsed) > maxPatternSize {
		return invalid("candidate_pattern: expected a smaller one, with its repetitions written out")
	}
	return nil
}

// sizeOf is how large a pattern is with its repetitions written out; it stops counting above the bound.
func sizeOf(re *syntax.Regexp) int {
	size := 1
	if re.Op == syntax.OpLiteral {
		size = len(re.Rune)
	}
	for _, part := range re.Sub {
		size = min(size+sizeOf(part), maxPatternSize+1)
	}
	if re.Op == syntax.OpRepeat {
		size *= max(re.Min, re.Max, 1)
	}
	return min(size, maxPatternSize+1)
}

func (s *Service) checkCandidates(field string, names []string) error {
	if len(names) > maxCandidates {
		return invalid("%s: expected at most %d names", field, maxCandidates)
	}
	known := make(map[string]bool, len(names))
	for i, name := range names {
		if !s.IsName(name) {
			return invalid("%s[%d]: expected a name of printable text without spaces around it", field, i)
		}
		if known[name] {
			return invalid("%s[%d]: the name stands there twice", field, i)
		}
		known[name] = true
	}
	return nil
}

func checkLimit(votesPerVoter int32) error {
	if votesPerVoter < 0 || votesPerVoter > maxVotesPerVoter {
		return invalid("votes_per_voter: expected 1 to %d, or 0 for no limit", maxVotesPerVoter)
	}
	return nil
}

func checkCap(ticketCap int64) error {
	if ticketCap < 0 || ticketCap > noCap {
		return invalid("ticket_cap: expected 1 to %d, which stands for none, or 0 for the setting ticket.cap", noCap)
	}
	return nil
}

// checkWhole says whether a ballot's rules go together.
func checkWhole(b *pgledger.Ballot) error {
	switch {
	case b.OpensAt != nil && b.ClosesAt != nil && !b.OpensAt.Before(*b.ClosesAt):
		return invalid("closes_at: expected a time after opens_at")
	case b.Candidates != nil && b.CandidatePattern != "":
		return invalid("candidate_pattern: expected none, since there is a list of candidates")
	case b.Ticketless && b.VotesPerVoter == 0:
		return invalid("votes_per_voter: expected a limit, since votes need no ticket")
	case b.VoterPeriod > 0 && b.VotesPerVoter == 0:
		return invalid("voter_period: expected none, since votes_per_voter is no limit")
	case b.PerCandidate && b.VotesPerVoter == 0:
		return invalid("limit_scope: expected none, since votes_per_voter is no limit")
	case b.HotFor > 0 && !b.PerCandidate:
		return invalid("hot_for: expected none, since limit_scope is not LIMIT_SCOPE_CANDIDATE")
	}
	return nil
}

// moment reads a time in whole milliseconds, as the decisions are made; nil is no bound.
func moment(field string, t *timestamppb.Timestamp) (*time.Time, error) {
	if t == nil {
		return nil, nil //nolint:nilnil // no bound
	}
	if err := t.CheckValid(); err != nil || t.GetSeconds() < 0 {
		return nil, invalid("%s: expected a time between 1970 and 9999", field)
	}
	at := t.AsTime().Truncate(time.Millisecond)
	return &at, nil
}

// length reads a duration in whole milliseconds; absent is 0.
func length(field string, d *durationpb.Duration, shortest, longest time.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	if err := d.CheckValid(); err != nil || d.AsDuration() < shortest || d.AsDuration() > longest || d.AsDuration()%time.Millisecond != 0 {
		return 0, invalid("%s: expected %v to %v, in whole milliseconds", field, shortest, longest)
	}
	return d.AsDuration(), nil
}

func sameMoment(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

// sameRules says whether two ballots have the same of what only a draft can change, the candidates left out.
func sameRules(a, b *pgledger.Ballot) bool {
	return a.CandidatePattern == b.CandidatePattern && a.VotesPerVoter == b.VotesPerVoter && a.VoterPeriod == b.VoterPeriod &&
		a.PerCandidate == b.PerCandidate && a.Visibility == b.Visibility && a.Ticketless == b.Ticketless && a.HotFor == b.HotFor
}

// sameRest says whether two ballots have the same of everything else but their state.
func sameRest(a, b *pgledger.Ballot) bool {
	return a.Title == b.Title && slices.Equal(a.Candidates, b.Candidates) && capOf(a) == capOf(b) && a.TicketInterval == b.TicketInterval &&
		sameMoment(a.OpensAt, b.OpensAt) && sameMoment(a.ClosesAt, b.ClosesAt)
}

func capOf(b *pgledger.Ballot) int64 {
	if b.TicketCap == nil {
		return noCap
	}
	return *b.TicketCap
}

// pageBytes bounds a page of a list: what does not fit stands on the next one.
const pageBytes = 1 << 20

// cutPage cuts a page where it becomes too large, and says whether it did. One entry always fits.
func cutPage[M proto.Message](page []M) ([]M, bool) {
	size := 0
	for i, m := range page {
		if size += proto.Size(m); size > pageBytes && i > 0 {
			return page[:i], true
		}
	}
	return page, false
}
