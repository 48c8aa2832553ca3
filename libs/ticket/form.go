package ticket

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"

	"github.com/google/uuid"
)

// Form is what the values of a ballot's tickets look like, as the column ballots.ticket_form has it.
type Form string

// The forms. A signed value says of itself what it is; the two others, which published clients know, have no room for
// that: they are found by their value alone, so only the ledger can tell one that it has made from any other.
const (
	Signed Form = "signed"
	HMAC   Form = "hmac" // 64 hexadecimal digits
	UUID   Form = "uuid"
)

const (
	hmacFormat = 2 // the first byte under the MAC, so that no MAC of one form is a tag of another
	hmacLength = 2 * macSize
	uuidLength = 36
)

// Plain says that values of this form are found by their value alone.
func (f Form) Plain() bool { return f == HMAC || f == UUID }

// Fits says whether a value looks like one of a plain form. It costs no key, so it tells nothing but a mistake.
func (f Form) Fits(value string) bool {
	switch f {
	case HMAC:
		return isHex(value)
	case UUID:
		id, err := uuid.Parse(value)
		return err == nil && len(value) == uuidLength && id.String() == value
	default:
		return false
	}
}

func isHex(value string) bool {
	if len(value) != hmacLength {
		return false
	}
	for i := range len(value) {
		if c := value[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// IsPlain says whether a value looks like one of any plain form.
func IsPlain(value string) bool { return HMAC.Fits(value) || UUID.Fits(value) }

// MintAs makes a value of a form; of one that it does not know, a signed one. No two values are the same.
func (k *Keys) MintAs(form Form, c Claims) string {
	switch form {
	case HMAC:
		return k.mintHMAC(c)
	case UUID:
		return uuid.NewString()
	default:
		return k.Mint(c)
	}
}

// mintHMAC is the HMAC-SHA256, under the current key, over version, ballot and nonce.
func (k *Keys) mintHMAC(c Claims) string {
	raw := append(make([]byte, 0, maxBytes), hmacFormat)
	for _, text := range [...]string{c.Version(), c.Ballot} {
		raw = binary.AppendUvarint(raw, uint64(len(text)))
		raw = append(raw, text...)
	}
	var nonce [nonceSize]byte
	_, _ = rand.Read(nonce[:]) // never fails: it ends the program instead
	s := k.scratch()
	defer s.release()
	return hex.EncodeToString(s.mac(0, append(raw, nonce[:]...)))
}
