package token

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-jose/go-jose/v4"
)

const (
	// Issuer is who has signed the tokens.
	Issuer = "littlevote-dev"
	// Audience is who they are for.
	Audience = "littlevote"

	keyFile    = "token.key.json"
	publicFile = "token.public.json"
)

// Ensure makes the key of a data directory at its first use, and returns the file with the public half, a JSON Web Key Set.
func Ensure(dir string) (string, error) {
	public := filepath.Join(dir, publicFile)
	key, err := open(dir)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}})
	if err == nil {
		err = os.WriteFile(public, append(text, '\n'), 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("token key: %w", err)
	}
	return public, nil
}

// open reads the key, or makes one.
func open(dir string) (jose.JSONWebKey, error) {
	file := filepath.Join(dir, keyFile)
	var key jose.JSONWebKey
	text, err := os.ReadFile(file) //nolint:gosec // in the directory that the caller names
	if errors.Is(err, fs.ErrNotExist) {
		return create(file)
	}
	if err != nil {
		return key, fmt.Errorf("token key: %w", err)
	}
	if err := json.Unmarshal(text, &key); err != nil || key.IsPublic() || !key.Valid() {
		return key, fmt.Errorf("token key: %s is no private JSON Web Key", file)
	}
	return key, nil
}

// create writes the file whole or not at all: what is half written would be there for good.
func create(file string) (jose.JSONWebKey, error) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("token key: %w", err)
	}
	key := jose.JSONWebKey{Key: private, KeyID: Issuer, Algorithm: string(jose.EdDSA), Use: "sig"}
	text, err := json.Marshal(key)
	if err == nil {
		err = os.WriteFile(file+".new", append(text, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("token key: %w", err)
	}
	return key, nil
}
