package certified

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/libs/config"
)

func document() *Document {
	at := time.Date(2026, 11, 21, 20, 15, 0, 123456000, time.UTC)
	return &Document{
		Ballot: "acme.final", Title: "Grand final", Counts: []Count{{"Bob", 1 << 60}, {"Anna", 2}}, Votes: 3, Voided: 1,
		Voids: []Void{{
			ID: "0192f0c1-2b3c-4d5e-8f60-718293a4b5c6", First: 7, Last: 9, Reason: "a bot", ProposedBy: "cli:a", ProposedAt: at,
			ApprovedBy: "cli:b", ApprovedAt: at, Votes: 1,
		}},
		CertifiedAt: at,
	}
}

func newSigner(t *testing.T, key ed25519.PrivateKey) *Signer {
	t.Helper()
	s, err := NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sign(t *testing.T, s *Signer) string {
	t.Helper()
	text, err := s.Sign(document())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestOnlyWhatWasSignedIsBelieved(t *testing.T) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := newSigner(t, key)
	text := sign(t, s)
	got, err := Verify(text+"\n", public)
	if diff := cmp.Diff(document(), got); err != nil || diff != "" {
		t.Fatalf("%v\n%s", err, diff)
	}
	if !s.Public().Equal(public) {
		t.Error("another public key")
	}
	part := strings.Split(text, ".")
	changed := base64.RawURLEncoding.EncodeToString([]byte(`{"ballot":"acme.final","votes":4}`))
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"littlevote-result"}`))
	other, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := other.Sign([]byte(`{"ballot":"acme.final"}`))
	if err != nil {
		t.Fatal(err)
	}
	jwt, err := token.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	for what, forged := range map[string]string{
		"empty": "", "no JWS": "{}", "another document": part[0] + "." + changed + "." + part[2],
		"alg none": none + "." + part[1] + ".", "no signature": part[0] + "." + part[1] + ".",
		"another key": sign(t, newSigner(t, devKey())), "something else of the key's": jwt,
	} {
		if d, err := Verify(forged, public); !errors.Is(err, ErrForged) {
			t.Errorf("%s: %v, %v", what, d, err)
		}
	}
}

func write(t *testing.T, text []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestKeyFiles(t *testing.T) {
	private, public, err := MakeKey()
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenSigner(write(t, private), false)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := LoadPublicKey(write(t, public))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(sign(t, s), loaded); err != nil {
		t.Error(err)
	}
	for what, file := range map[string]string{
		"missing": "", "not there": filepath.Join(t.TempDir(), "none"), "the public one": write(t, public),
		"no key": write(t, pem.EncodeToMemory(&pem.Block{Type: privateKind, Bytes: []byte("x")})), "no PEM": write(t, []byte("x")),
	} {
		var keyed *config.KeyError
		if _, err := OpenSigner(file, false); !errors.As(err, &keyed) || !strings.Contains(err.Error(), "ballot.sign-key-file") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := LoadPublicKey(write(t, private)); err == nil {
		t.Error("a private key was taken for a public one")
	}
}

func TestDevelopmentHasAKeyThatEverybodyKnows(t *testing.T) {
	s, err := OpenSigner("", true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(sign(t, s), DevPublicKey()); err != nil {
		t.Error(err)
	}
}
