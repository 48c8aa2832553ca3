package ticket

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	secretA = bytes.Repeat([]byte("a"), 32)
	secretB = bytes.Repeat([]byte("b"), 48)
)

func newKeys(t testing.TB, secrets ...[]byte) *Keys {
	t.Helper()
	k, err := NewKeys(secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func claims() Claims {
	return Claims{
		Ballot: "main", Epoch: 3, Number: 41, Fence: 7,
		IssuedAt:  time.UnixMilli(1_795_228_800_123),
		ExpiresAt: time.UnixMilli(1_795_228_804_123),
	}
}

func TestRoundTrip(t *testing.T) {
	k := newKeys(t, secretA)
	long := claims()
	long.Ballot = strings.Repeat("b", 64)
	long.Epoch, long.Number, long.Fence = 1<<62, 1<<62, 1<<62
	long.ExpiresAt = long.IssuedAt.Add(365 * 24 * time.Hour)
	for _, want := range []Claims{claims(), long, {IssuedAt: time.UnixMilli(0), ExpiresAt: time.UnixMilli(0)}} {
		value := k.Mint(want)
		if len(value) > MaxLength {
			t.Errorf("value of %d characters", len(value))
		}
		got, err := k.Verify(value)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	if got := claims().Version(); got != "3.41.7" {
		t.Errorf("version %q", got)
	}
}

func TestValuesDiffer(t *testing.T) {
	k := newKeys(t, secretA)
	first, second := k.Mint(claims()), k.Mint(claims())
	if first == second {
		t.Error("the same value twice")
	}
}

// Every single changed character, every truncation and every addition is refused: the value is canonical.
func TestVerifyRefusesEveryOtherText(t *testing.T) {
	k := newKeys(t, secretA)
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=\n\r \x00."
	for _, ballot := range []string{"m", "ma", "mai"} { // all three lengths modulo 3: with and without trailing bits
		c := claims()
		c.Ballot = ballot
		value := k.Mint(c)
		for i := range value {
			for _, other := range []byte(alphabet) {
				if other != value[i] {
					refused(t, k, value[:i]+string(other)+value[i+1:])
				}
			}
			refused(t, k, value[:i])
			refused(t, k, value[:i]+"\n"+value[i:])
		}
		for _, tail := range []string{"\n", "\r\n", "=", "==", "===", "A", "AAAA", " ", "\x00"} {
			refused(t, k, value+tail)
		}
		refused(t, k, " "+value)
		refused(t, k, strings.ToUpper(value))
		refused(t, k, strings.ToLower(value))
	}
	refused(t, k, strings.Repeat("A", MaxLength))
	refused(t, k, strings.Repeat("A", 1<<20))
}

// A holder of the key could sign anything; still only this format is read.
func TestVerifyRefusesSignedNonsense(t *testing.T) {
	k := newKeys(t, secretA)
	sign := func(raw ...byte) string {
		raw = append(raw, make([]byte, nonceSize)...)
		s := k.scratch()
		return encoding.EncodeToString(append(raw, s.tag(0, raw)...))
	}
	if _, err := k.Verify(sign(1, 1, 'm', 1, 2, 3, 4, 5)); err != nil {
		t.Fatalf("the control is refused: %v", err)
	}
	refused(t, k, sign())
	refused(t, k, sign(2, 1, 'm', 1, 2, 3, 4, 5))    // another format
	refused(t, k, sign(1, 9, 'm', 1, 2, 3, 4, 5))    // name longer than the value
	refused(t, k, sign(1, 1, 'm', 1, 2, 3, 4))       // a number short
	refused(t, k, sign(1, 1, 'm', 1, 2, 3, 4, 5, 6)) // a number too many
	refused(t, k, sign(1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1))
	refused(t, k, sign(1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5)) // negative
}

func TestOtherKeyIsRefused(t *testing.T) {
	refused(t, newKeys(t, secretB), newKeys(t, secretA).Mint(claims()))
}

func TestRotation(t *testing.T) {
	old, both, fresh := newKeys(t, secretA), newKeys(t, secretB, secretA), newKeys(t, secretB)
	if _, err := both.Verify(old.Mint(claims())); err != nil {
		t.Errorf("value of the previous key: %v", err)
	}
	if _, err := fresh.Verify(both.Mint(claims())); err != nil {
		t.Errorf("the current key did not sign: %v", err)
	}
	refused(t, fresh, old.Mint(claims()))
}

func refused(t *testing.T, k *Keys, value string) {
	t.Helper()
	if c, err := k.Verify(value); !errors.Is(err, ErrInvalid) || c != (Claims{}) {
		t.Errorf("Verify(%.80q) = %v, %v", value, c, err)
	}
}

func TestLoadKeys(t *testing.T) {
	value := newKeys(t, secretA).Mint(claims())
	hexA, base64A := hex.EncodeToString(secretA), base64.StdEncoding.EncodeToString(secretA)
	urlB := base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0xfb, 0xff}, 16))
	for _, content := range []string{
		hexA, base64A + "\n", "# made in May\n\n  " + hexA + "  \r\n", urlB + "\n" + strings.ToUpper(hexA) + "\n",
	} {
		k, err := LoadKeys(keyFile(t, content))
		if err != nil {
			t.Errorf("%q: %v", content, err)
			continue
		}
		if _, err := k.Verify(value); err != nil {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func TestLoadKeysErrorsNameFileAndRuleOnly(t *testing.T) {
	hexA := hex.EncodeToString(secretA)
	for content, rule := range map[string]string{
		"":                               "one or two keys (current, previous), got 0",
		"# nothing\n":                    "one or two keys (current, previous), got 0",
		hexA + "\n" + hexA + "\n" + hexA: "one or two keys (current, previous), got 3",
		"hunter2!":                       "line 1: expected hex or base64",
		hexA + "\nhunter2!":              "line 2: expected hex or base64",
		hexA[:62]:                        "key 1: expected at least 32 bytes, got 31",
	} {
		file := keyFile(t, content)
		_, err := LoadKeys(file)
		if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), rule) {
			t.Errorf("%q: %v", content, err)
			continue
		}
		for line := range strings.Lines(content) {
			if line = strings.TrimSpace(line); line != "" && strings.Contains(err.Error(), line) {
				t.Errorf("the error repeats the file: %v", err)
			}
		}
	}
	missing := filepath.Join(t.TempDir(), "missing")
	if _, err := LoadKeys(missing); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("missing file: %v", err)
	}
}

func keyFile(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// FuzzVerify: what verifies is the canonical text of bytes whose tag a key holder made.
func FuzzVerify(f *testing.F) {
	k := newKeys(f, secretA, secretB)
	for _, keys := range []*Keys{k, newKeys(f, secretB)} {
		value := keys.Mint(claims())
		f.Add(value)
		f.Add(value + "\n")
		f.Add(value[1:])
	}
	f.Fuzz(func(t *testing.T, value string) {
		if _, err := k.Verify(value); err != nil {
			return
		}
		raw, err := base64.RawURLEncoding.DecodeString(value)
		if err != nil || base64.RawURLEncoding.EncodeToString(raw) != value {
			t.Fatalf("%q verifies and is not canonical", value)
		}
		for _, secret := range [][]byte{secretA, secretB} {
			mac := hmac.New(sha256.New, secret)
			mac.Write(raw[:len(raw)-tagSize])
			if bytes.HasPrefix(mac.Sum(nil), raw[len(raw)-tagSize:]) {
				return
			}
		}
		t.Fatalf("%q verifies, and no key has signed it", value)
	})
}

func BenchmarkVerify(b *testing.B) {
	k := newKeys(b, secretA)
	value := k.Mint(claims())
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := k.Verify(value); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkVerifyForged(b *testing.B) {
	k := newKeys(b, secretA, secretB)
	value := newKeys(b, bytes.Repeat([]byte("c"), 32)).Mint(claims())
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := k.Verify(value); err == nil {
				b.Error("a forged value verifies")
			}
		}
	})
}
