package pgledger

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// The columns that are the same for all rows of a batch stand first, so that they are encoded once a batch.
const copyStatement = `COPY vote_logs (ballot, ticket_version, voted_at, epoch, batch_id, vote_id, voter, admission,
	voter_id, retracts, username, delta)
	FROM STDIN (FORMAT binary)`

const (
	copyColumns = 12

	copyKeysStatement = "COPY vote_keys (ballot, key, body_hash, batch_id) FROM STDIN (FORMAT binary)"
	copyKeysColumns   = 4
)

var (
	// copyHeader is the signature, no flags, no extension.
	copyHeader  = []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	copyTrailer = []byte{0xff, 0xff}
	// postgresEpoch is where a binary timestamptz counts its microseconds from.
	postgresEpoch = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
)

// encodeRows writes the ledger rows of batches as binary COPY data: one row per vote and candidate, where choices of the
// same candidate are summed. A change has rows for what it takes back, which look like a retraction's, and rows for what it
// gives, which look like a vote's. By hand, since this is most of what a persister computes.
func encodeRows(batches []Event) (data []byte, rows int) {
	data = append(make([]byte, 0, estimate(batches)), copyHeader...)
	for _, b := range batches {
		prefix := encodePrefix(b)
		names := make([][]byte, len(b.GetCandidates()))
		for i, name := range b.GetCandidates() {
			names[i] = appendField(nil, name)
		}
		for i, v := range b.GetVotes() {
			for choice, candidate := range v.GetCandidates() {
				delta, first := sumChoice(v, choice)
				if !first {
					continue
				}
				var retracts []byte
				if takesBack(v, choice) {
					retracts = v.GetRetracts()
				}
				data = append(data, prefix...)
				data = appendField(data, v.GetVoteId())
				data = appendField(data, v.GetVoter())
				data = appendInt64(data, b.GetFirstAdmissionNumber()+int64(i))
				data = appendNullable(data, v.GetVoterId())
				data = appendNullable(data, retracts)
				data = append(data, names[candidate]...)
				data = appendInt64(data, delta)
				rows++
			}
		}
	}
	return append(data, copyTrailer...), rows
}

// sumChoice adds up the choices of the same candidate, in a change those that it takes back or those that it gives; first
// is false when an earlier choice has done so.
func sumChoice(v *eventv1.VoteEvent, choice int) (delta int64, first bool) {
	candidates, deltas := v.GetCandidates(), v.GetDeltas()
	back := takesBack(v, choice)
	for i, earlier := range candidates[:choice] {
		if earlier == candidates[choice] && takesBack(v, i) == back {
			return 0, false
		}
	}
	for i := choice; i < len(candidates); i++ {
		if candidates[i] == candidates[choice] && takesBack(v, i) == back {
			delta += deltas[i]
		}
	}
	return delta, true
}

// encodeKeys writes the idempotency keys of votes that came with one as binary COPY data, in the order in which every
// transaction locks them; nil if there are none.
func encodeKeys(batches []Event) []byte {
	type key struct {
		event Event
		vote  *eventv1.VoteEvent
	}
	var keys []key
	for _, b := range batches {
		for _, v := range b.GetVotes() {
			if len(v.GetBodyHash()) > 0 {
				keys = append(keys, key{b, v})
			}
		}
	}
	if len(keys) == 0 {
		return nil
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.event.GetBallot(), b.event.GetBallot()), bytes.Compare(a.vote.GetVoteId(), b.vote.GetVoteId()))
	})
	data := slices.Clone(copyHeader)
	for _, k := range keys {
		data = binary.BigEndian.AppendUint16(data, copyKeysColumns)
		data = appendField(data, k.event.GetBallot())
		data = appendField(data, k.vote.GetVoteId())
		data = appendField(data, k.vote.GetBodyHash())
		data = appendField(data, k.event.GetBatchId())
	}
	return append(data, copyTrailer...)
}

func encodePrefix(b Event) []byte {
	p := binary.BigEndian.AppendUint16(nil, copyColumns)
	p = appendField(p, b.GetBallot())
	p = appendField(p, b.GetTicketVersion())
	p = appendInt64(p, b.GetAdmittedAtMs()*1000-postgresEpoch)
	p = appendInt64(p, b.GetEpoch())
	return appendField(p, b.GetBatchId())
}

func estimate(batches []Event) int {
	const rowBytes = 200
	total := len(copyHeader) + len(copyTrailer)
	for _, b := range batches {
		for _, v := range b.GetVotes() {
			total += rowBytes * len(v.GetCandidates())
		}
	}
	return total
}

func appendField[T string | []byte](to []byte, value T) []byte {
	to = binary.BigEndian.AppendUint32(to, uint32(len(value)))
	return append(to, value...)
}

// appendNullable writes NULL for nothing.
func appendNullable[T string | []byte](to []byte, value T) []byte {
	if len(value) == 0 {
		return binary.BigEndian.AppendUint32(to, 0xffff_ffff)
	}
	return appendField(to, value)
}

func appendInt64(to []byte, value int64) []byte {
	to = binary.BigEndian.AppendUint32(to, 8)
	return binary.BigEndian.AppendUint64(to, uint64(value))
}
