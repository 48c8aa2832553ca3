package pgledger

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// Token names the place of an acknowledged vote, for reads that must not be older. Clients hand it back as they got it.
type Token struct {
	Epoch     int64
	Admission int64
	Batch     uuid.UUID
}

// ErrToken says that a text is no token.
var ErrToken = errors.New("pgledger: not a consistency token")

// String writes a token as "epoch.admission.batch".
func (t Token) String() string {
	return fmt.Sprintf("%d.%d.%x", t.Epoch, t.Admission, t.Batch[:])
}

// ParseToken reads what String writes, and nothing else.
func ParseToken(text string) (Token, error) {
	parts := strings.SplitN(text, ".", 4)
	if len(parts) != 3 || len(parts[2]) != 32 {
		return Token{}, ErrToken
	}
	epoch, err1 := strconv.ParseInt(parts[0], 10, 64)
	admission, err2 := strconv.ParseInt(parts[1], 10, 64)
	batch, err3 := hex.DecodeString(parts[2])
	if err1 != nil || err2 != nil || err3 != nil || epoch < 1 || admission < 1 {
		return Token{}, ErrToken
	}
	t := Token{Epoch: epoch, Admission: admission, Batch: uuid.UUID(batch)}
	if t.String() != text {
		return Token{}, ErrToken
	}
	return t, nil
}
