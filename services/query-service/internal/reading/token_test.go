package reading

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/pgledger"
)

// Whatever comes in, only what Token.String can have written is a token, and it means the same written again.
func FuzzToken(f *testing.F) {
	now := pgledger.Token{Epoch: time.Now().Unix(), Admission: 1 << 53, Batch: uuid.Max}
	for _, seed := range []string{
		"", "1.1." + strings.Repeat("0", 32), now.String(), "1.1." + strings.Repeat("F", 32), "01.1." + strings.Repeat("0", 32),
		"1..2", "9223372036854775807.9223372036854775807." + strings.Repeat("f", 32), "-1.1." + strings.Repeat("0", 32), "1.1.\x00", "票",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token, ok := parseToken(text)
		if !ok {
			return
		}
		if token.String() != text || len(text) > maxToken || token.Epoch < 1 || token.Epoch > time.Now().Add(2*ahead).Unix() {
			t.Errorf("%q is taken for %+v", text, token)
		}
	})
}
