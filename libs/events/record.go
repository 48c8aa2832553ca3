package events

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// Format is the latest version of the record that this code reads. A batch is written in the version that it needs:
// see FormatFor.
const Format = 3

// FormatFor returns the version that a batch needs: 3 if a vote in it is a change, or is on a ballot without tickets; 2 if
// one has an authenticated voter or takes one back; else 1, which readers understand that know of none of these.
func FormatFor(b *eventv1.VoteBatch) uint32 {
	format := uint32(1)
	for _, v := range b.GetVotes() {
		format = max(format, formatOf(v, b.GetTicketVersion() == ""))
	}
	return format
}

func formatOf(v *eventv1.VoteEvent, ticketless bool) uint32 {
	switch {
	case len(v.GetRetracts()) > 0 && gives(v), len(v.GetRetracts()) == 0 && ticketless:
		return 3
	case len(v.GetRetracts()) > 0, v.GetVoterId() != "":
		return 2
	default:
		return 1
	}
}

// gives says that a vote adds to a count; a retraction does not.
func gives(v *eventv1.VoteEvent) bool {
	return slices.ContainsFunc(v.GetDeltas(), func(d int64) bool { return d > 0 })
}

// Bounds of a record.
const (
	MaxVotes       = 1000
	MaxChoices     = 64        // per vote; in a change so many that it takes back, and so many that it gives
	MaxDelta       = 1 << 40   // either way, per choice: 64 choices of 2^31-1 votes each, summed up, fit
	MaxNameBytes   = 1024      // a candidate, a claimed voter, a ticket version
	MaxVoterBytes  = 128       // an authenticated voter
	MaxRecordBytes = 1_000_000 // below the 1 MiB that brokers take by default
)

// Why Decode refuses a record. Both go to the dead-letter topic, the second one with an alarm.
var (
	ErrNotOurs       = errors.New("not a vote batch")
	ErrUnknownFormat = errors.New("vote batch of an unknown format")
)

var ballotName = regexp.MustCompile(`^([a-z0-9-]{1,32}\.)?[a-z0-9-]{1,64}$`)

// Encode makes the value of a record. An error means that the batch breaks a rule of the format: nobody may produce it.
func Encode(b *eventv1.VoteBatch) ([]byte, error) {
	if err := Validate(b); err != nil {
		return nil, err
	}
	value, err := proto.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("encode vote batch: %w", err)
	}
	if len(value) > MaxRecordBytes {
		return nil, fmt.Errorf("encode vote batch: %d bytes, at most %d", len(value), MaxRecordBytes)
	}
	return value, nil
}

// Decode reads the value of a record. Its error wraps ErrNotOurs or ErrUnknownFormat.
func Decode(value []byte) (*eventv1.VoteBatch, error) {
	if len(value) == 0 {
		return nil, fmt.Errorf("%w: no value", ErrNotOurs)
	}
	if len(value) > MaxRecordBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrNotOurs, len(value), MaxRecordBytes)
	}
	b := &eventv1.VoteBatch{}
	if err := proto.Unmarshal(value, b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotOurs, err)
	}
	// Checked before the rest: a later format may have other rules.
	if b.GetFormat() > Format {
		return nil, fmt.Errorf("%w: %d", ErrUnknownFormat, b.GetFormat())
	}
	if err := Validate(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotOurs, err)
	}
	return b, nil
}

// Validate checks everything about a batch that can be told from the batch alone.
func Validate(b *eventv1.VoteBatch) error {
	switch {
	case b.GetFormat() < FormatFor(b) || b.GetFormat() > Format:
		return fmt.Errorf("format is %d", b.GetFormat())
	case !isUUID(b.GetBatchId(), 7):
		return errors.New("batch id is not a UUIDv7")
	case b.GetEpoch() < 1:
		return fmt.Errorf("epoch is %d", b.GetEpoch())
	case !ballotName.MatchString(b.GetBallot()):
		return errors.New("ballot name is malformed")
	case b.GetAdmittedAtMs() < 1 || b.GetAdmittedAtMs() > maxTime.UnixMilli():
		return fmt.Errorf("time of admission is %d", b.GetAdmittedAtMs())
	case !isText(b.GetTicketVersion(), 0):
		return errors.New("ticket version is too long or has a NUL")
	case len(b.GetVotes()) < 1 || len(b.GetVotes()) > MaxVotes:
		return fmt.Errorf("%d votes", len(b.GetVotes()))
	case b.GetFirstAdmissionNumber() < 1 || b.GetFirstAdmissionNumber() > math.MaxInt64-MaxVotes:
		return fmt.Errorf("first admission number is %d", b.GetFirstAdmissionNumber())
	}
	return validateVotes(b)
}

func validateVotes(b *eventv1.VoteBatch) error {
	for i, name := range b.GetCandidates() {
		if !isText(name, 1) {
			return fmt.Errorf("candidate %d is empty, too long or has a NUL", i)
		}
	}
	for i, v := range b.GetVotes() {
		err := validateVote(v, len(b.GetCandidates()))
		if err == nil {
			err = validateKind(v, b.GetTicketVersion() == "")
		}
		if err != nil {
			return fmt.Errorf("vote %d: %w", i, err)
		}
	}
	return nil
}

// maxTime keeps times of admission far from the end of what Postgres and RFC 3339 can write.
var maxTime = time.Date(9000, time.January, 1, 0, 0, 0, 0, time.UTC)

func validateVote(v *eventv1.VoteEvent, candidates int) error {
	choices := v.GetCandidates()
	most := MaxChoices
	if len(v.GetRetracts()) > 0 {
		most *= 2
	}
	switch {
	case !isUUID(v.GetVoteId(), 0):
		return errors.New("vote id is not a UUID")
	case len(choices) < 1 || len(choices) > most:
		return fmt.Errorf("%d choices", len(choices))
	case len(choices) != len(v.GetDeltas()):
		return fmt.Errorf("%d choices with %d deltas", len(choices), len(v.GetDeltas()))
	case len(v.GetBodyHash()) != 0 && len(v.GetBodyHash()) != 16:
		return fmt.Errorf("body hash of %d bytes", len(v.GetBodyHash()))
	case !isText(v.GetVoter(), 0):
		return errors.New("voter is too long or has a NUL")
	case !isText(v.GetVoterId(), 0) || len(v.GetVoterId()) > MaxVoterBytes:
		return errors.New("voter id is too long or has a NUL")
	}
	for i, c := range choices {
		if int64(c) >= int64(candidates) {
			return fmt.Errorf("choice %d is candidate %d of %d", i, c, candidates)
		}
		if d := v.GetDeltas()[i]; d == 0 || d > MaxDelta || d < -MaxDelta {
			return fmt.Errorf("choice %d adds %d", i, d)
		}
	}
	return nil
}

// validateKind holds votes, changes and retractions apart: in a batch with a ticket each takes one of its uses, so there is no
// retraction in it.
func validateKind(v *eventv1.VoteEvent, ticketless bool) error {
	if len(v.GetRetracts()) == 0 {
		return nil
	}
	switch {
	case !isUUID(v.GetRetracts(), 0):
		return errors.New("the id of the retracted vote is not a UUID")
	case bytes.Equal(v.GetRetracts(), v.GetVoteId()):
		return errors.New("a retraction of itself")
	case v.GetVoterId() == "":
		return errors.New("a retraction without a voter")
	case v.GetDeltas()[0] > 0:
		return errors.New("a retraction takes nothing back")
	case !ticketless && !gives(v):
		return errors.New("a retraction in a batch with a ticket")
	}
	given := slices.IndexFunc(v.GetDeltas(), func(d int64) bool { return d > 0 })
	if given < 0 {
		given = len(v.GetDeltas())
	}
	for i, d := range v.GetDeltas()[given:] {
		if d < 0 {
			return fmt.Errorf("choice %d of a change takes back, and stands behind what it gives", given+i)
		}
	}
	if given > MaxChoices || len(v.GetDeltas())-given > MaxChoices {
		return fmt.Errorf("a change takes back %d choices and gives %d", given, len(v.GetDeltas())-given)
	}
	return nil
}

// isUUID says whether id has the length of a UUID, and its version and variant if a version is asked for. Clients make
// vote ids, and old programs make UUIDs without either.
func isUUID(id []byte, version byte) bool {
	if len(id) != 16 {
		return false
	}
	return version == 0 || id[6]>>4 == version && id[8]>>6 == 0b10
}

// isText does not look for invalid UTF-8: protobuf refuses it on both sides.
func isText(s string, least int) bool {
	return len(s) >= least && len(s) <= MaxNameBytes && !strings.Contains(s, "\x00")
}
