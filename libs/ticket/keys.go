package ticket

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"log/slog"
	"strings"
	"sync"

	"github.com/littlevote/littlevote/libs/reload"
)

const (
	minSecret = 32 // bytes
	maxKeys   = 2
)

// Keys signs under its first secret and verifies under all of them. It is safe for concurrent use.
type Keys struct {
	fixed *ring                // nil: they are of the file
	file  *reload.Value[*ring] // nil: they are fixed
}

// ring is one or two secrets. They live in the pool's New only, so that printing a Keys shows none.
type ring struct{ pool sync.Pool } // of *scratch

// scratch is what one Mint or Verify works with; it is pooled since setting up an HMAC costs more than using it.
type scratch struct {
	home *ring
	macs []hash.Hash
	text [MaxLength]byte
	raw  [maxBytes]byte
	sum  [sha256.Size]byte
}

// NewKeys takes the current secret and, during a rotation, another one; each of at least 32 bytes.
func NewKeys(secrets ...[]byte) (*Keys, error) {
	r, err := newRing(secrets)
	if err != nil {
		return nil, fmt.Errorf("ticket: %w", err)
	}
	return &Keys{fixed: r}, nil
}

func newRing(secrets [][]byte) (*ring, error) {
	if err := check(secrets); err != nil {
		return nil, err
	}
	own := make([][]byte, len(secrets))
	for i, s := range secrets {
		own[i] = bytes.Clone(s)
	}
	r := &ring{}
	r.pool.New = func() any {
		s := &scratch{home: r, macs: make([]hash.Hash, len(own))}
		for i, secret := range own {
			s.macs[i] = hmac.New(sha256.New, secret)
		}
		return s
	}
	return r, nil
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

// LoadKeys reads a file with one key a line: the one that signs, and during a rotation another one below it. A key is hex or
// base64 of at least 32 bytes. Empty lines, and lines that begin with #, are skipped. While Run runs the file is read again when
// it changes. Errors name the file and the rule, never what stands in the file.
func LoadKeys(file string) (*Keys, error) {
	parse := func(contents [][]byte) (*ring, error) {
		r, err := parseKeys(string(contents[0]))
		if err != nil {
			return nil, fmt.Errorf("ticket: key file %s: %w", file, err)
		}
		return r, nil
	}
	value, err := reload.Open("ticket.key-file", parse, file)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("ticket: key file: %w", err)
	}
	if err != nil {
		return nil, err
	}
	return &Keys{file: value}, nil
}

func parseKeys(content string) (*ring, error) {
	var secrets [][]byte
	number := 0
	for line := range strings.Lines(content) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		secret, err := decodeKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		secrets = append(secrets, secret)
	}
	return newRing(secrets)
}

// Run reads the file again whenever it changes, until ctx ends. It returns nil.
func (k *Keys) Run(ctx context.Context, log *slog.Logger) error {
	if k.file == nil {
		<-ctx.Done()
		return nil
	}
	return k.file.Run(ctx, log)
}

// Problem says in words for the operator that the file can't be used as it is now; empty if it can.
func (k *Keys) Problem() string {
	if k.file == nil {
		return ""
	}
	return k.file.Problem()
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
	r := k.fixed
	if k.file != nil {
		r = k.file.Now()
	}
	s, _ := r.pool.Get().(*scratch)
	return s
}

// release gives it back to the secrets that it was made with, which may be no longer the newest.
func (s *scratch) release() { s.home.pool.Put(s) }

// mac computes the MAC of signed under the i-th key; it stays valid until the next call.
func (s *scratch) mac(i int, signed []byte) []byte {
	mac := s.macs[i]
	mac.Reset()
	mac.Write(signed) // never fails
	return mac.Sum(s.sum[:0])
}

// tag is the part of the MAC that a signed value carries.
func (s *scratch) tag(i int, signed []byte) []byte { return s.mac(i, signed)[:tagSize] }
