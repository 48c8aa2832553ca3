package ticket

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strconv"
	"time"
)

// MaxLength is the length of the longest value that is looked at, in characters.
const MaxLength = 256

const (
	format    = 1
	nonceSize = 16
	tagSize   = 16
	macSize   = sha256.Size
	// maxBytes is what MaxLength characters decode to.
	maxBytes = MaxLength * 6 / 8
)

// ErrInvalid says that a text is no ticket of ours. It does not say why: that would help nobody but a forger.
var ErrInvalid = errors.New("ticket: invalid value")

// encoding refuses padding and trailing bits that are not zero.
var encoding = base64.RawURLEncoding.Strict()

// Claims is what a value says of its ticket.
type Claims struct {
	Ballot   string
	Epoch    int64     // of the ledger that the ticket belongs to
	Number   int64     // counts the tickets of the ballot in the epoch
	Fence    int64     // of the producer lock's holder that minted it
	IssuedAt time.Time // when it was signed, by the ledger's clock, in milliseconds
	// ExpiresAt is the planned end of the ticket's window. The ledger decides the real one when it stores the ticket,
	// some milliseconds later; use it with a margin.
	ExpiresAt time.Time
}

// Version returns "epoch.number.fence".
func (c Claims) Version() string {
	text := make([]byte, 0, 32)
	text = strconv.AppendInt(text, c.Epoch, 10)
	text = append(text, '.')
	text = strconv.AppendInt(text, c.Number, 10)
	text = append(text, '.')
	return string(strconv.AppendInt(text, c.Fence, 10))
}

// Mint signs claims, whose numbers and lifetime are not negative, under the current key; no two values are the same.
// The name of a ballot has at most 64 characters; a value for a name that makes it longer than MaxLength does not
// verify.
func (k *Keys) Mint(c Claims) string {
	issued := c.IssuedAt.UnixMilli()
	raw := make([]byte, 0, maxBytes)
	raw = append(raw, format)
	raw = binary.AppendUvarint(raw, uint64(len(c.Ballot)))
	raw = append(raw, c.Ballot...)
	for _, n := range [...]int64{c.Epoch, c.Number, c.Fence, issued, c.ExpiresAt.UnixMilli() - issued} {
		raw = binary.AppendUvarint(raw, uint64(n))
	}
	var nonce [nonceSize]byte
	_, _ = rand.Read(nonce[:]) // never fails: it ends the program instead
	raw = append(raw, nonce[:]...)

	s := k.scratch()
	defer s.release()
	return encoding.EncodeToString(append(raw, s.tag(0, raw)...))
}

// Verify returns what a value says if it was signed under any of the keys; otherwise ErrInvalid. Tags are compared in
// constant time.
func (k *Keys) Verify(value string) (Claims, error) {
	if len(value) > MaxLength {
		return Claims{}, ErrInvalid
	}
	s := k.scratch()
	defer s.release()
	n, err := encoding.Decode(s.raw[:], s.text[:copy(s.text[:], value)])
	// The decoder skips line breaks wherever they stand; the length tells.
	if err != nil || encoding.EncodedLen(n) != len(value) || n < nonceSize+tagSize {
		return Claims{}, ErrInvalid
	}
	signed, tag := s.raw[:n-tagSize], s.raw[n-tagSize:n]
	for i := range s.macs {
		if hmac.Equal(s.tag(i, signed), tag) {
			return parse(signed[:len(signed)-nonceSize])
		}
	}
	return Claims{}, ErrInvalid
}

// parse reads what stands before the nonce. It was signed, so a mistake in it can only be another program's, or a
// later format.
func parse(raw []byte) (Claims, error) {
	if len(raw) == 0 || raw[0] != format {
		return Claims{}, ErrInvalid
	}
	raw = raw[1:]
	length, size := binary.Uvarint(raw)
	if size <= 0 || length > uint64(len(raw)-size) {
		return Claims{}, ErrInvalid
	}
	ballot := raw[size : size+int(length)]
	raw = raw[size+int(length):]
	var n [5]int64
	for i := range n {
		v, size := binary.Uvarint(raw)
		if size <= 0 || int64(v) < 0 {
			return Claims{}, ErrInvalid
		}
		n[i], raw = int64(v), raw[size:]
	}
	if len(raw) != 0 {
		return Claims{}, ErrInvalid
	}
	return Claims{
		Ballot:    string(ballot),
		Epoch:     n[0],
		Number:    n[1],
		Fence:     n[2],
		IssuedAt:  time.UnixMilli(n[3]),
		ExpiresAt: time.UnixMilli(n[3] + n[4]),
	}, nil
}
