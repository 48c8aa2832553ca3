package ticket

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"
	"strings"
	"sync"
)

const (
	minSecret = 32 // bytes
	maxKeys   = 2
)

// Keys signs under its first secret and verifies under all of them. It is safe for concurrent use.
type Keys struct {
	pool sync.Pool // of *scratch; the secrets live in its New only, so that printing a Keys shows none
}

// scratch is what one Mint or Verify works with; it is pooled since setting up an HMAC costs more than using it.
type scratch struct {
	macs []hash.Hash
	text [MaxLength]byte
	raw  [maxBytes]byte
	sum  [sha256.Size]byte
}

// NewKeys takes the current secret and, during a rotation, the previous one; each of at least 32 bytes.
func NewKeys(secrets ...[]byte) (*Keys, error) {
	if err := check(secrets); err != nil {
		return nil, fmt.Errorf("ticket: %w", err)
	}
	own := make([][]byte, len(secrets))
	for i, s := range secrets {
		own[i] = bytes.Clone(s)
	}
	k := &Keys{}
	k.pool.New = func() any {
		s := &scratch{macs: make([]hash.Hash, len(own))}
		for i, secret := range own {
			s.macs[i] = hmac.New(sha256.New, secret)
		}
		return s
	}
	return k, nil
}

func check(secrets [][]byte) error {
	if len(secrets) == 0 || len(secrets) > maxKeys {
		return fmt.Errorf("expected one or two keys (current, previous), got %d", len(secrets))
	}
	for i, s := range secrets {
		if len(s) < minSecret {
			return fmt.Errorf("key %d: expected at least %d bytes, got %d", i+1, minSecret, len(s))
		}
	}
	return nil
}

// LoadKeys reads a file with one key a line: the current one and, during a rotation, the previous one below it. A key
// is hex or base64 of at least 32 bytes. Empty lines, and lines that begin with #, are skipped. Errors name the file
// and the rule, never what stands in the file.
func LoadKeys(file string) (*Keys, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("ticket: key file: %w", err)
	}
	var secrets [][]byte
	number := 0
	for line := range strings.Lines(string(content)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		secret, err := decodeKey(line)
		if err != nil {
			return nil, fmt.Errorf("ticket: key file %s: line %d: %w", file, number, err)
		}
		secrets = append(secrets, secret)
	}
	k, err := NewKeys(secrets...)
	if err != nil {
		return nil, fmt.Errorf("ticket: key file %s: %w", file, errors.Unwrap(err))
	}
	return k, nil
}

// decodeKey reads hex, or else base64 of any alphabet, padded or not. What may be both is hex.
func decodeKey(text string) ([]byte, error) {
	if secret, err := hex.DecodeString(text); err == nil {
		return secret, nil
	}
	unpadded := strings.TrimRight(text, "=")
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if secret, err := e.DecodeString(unpadded); err == nil {
			return secret, nil
		}
	}
	return nil, fmt.Errorf("expected hex or base64 of at least %d bytes", minSecret)
}

func (k *Keys) scratch() *scratch {
	s, _ := k.pool.Get().(*scratch)
	return s
}

// mac computes the MAC of signed under the i-th key; it stays valid until the next call.
func (s *scratch) mac(i int, signed []byte) []byte {
	mac := s.macs[i]
	mac.Reset()
	mac.Write(signed) // never fails
	return mac.Sum(s.sum[:0])
}

// tag is the part of the MAC that a signed value carries.
func (s *scratch) tag(i int, signed []byte) []byte { return s.mac(i, signed)[:tagSize] }
