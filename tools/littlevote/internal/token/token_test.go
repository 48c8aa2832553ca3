package token

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

func TestATokenSaysWhatWasAskedFor(t *testing.T) {
	dir := t.TempDir()
	public, err := Ensure(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := Command()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--data-dir", dir, "--voter", "alice", "--scope", "ballots:admin,x", "--tenant", "acme", "--valid-for", "1h"})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(public)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), `"d"`) {
		t.Error("the public file holds the private key")
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(text, &set); err != nil {
		t.Fatal(err)
	}
	token, err := jwt.ParseSigned(strings.TrimSpace(out.String()), []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	var standard jwt.Claims
	var ours struct {
		Tenant string `json:"tenant"`
		Scope  string `json:"scope"`
	}
	if err := token.Claims(set.Keys[0].Key, &standard, &ours); err != nil {
		t.Fatal(err)
	}
	if err := standard.Validate(jwt.Expected{Issuer: Issuer, Subject: "alice", AnyAudience: jwt.Audience{Audience}, Time: time.Now()}); err != nil {
		t.Error(err)
	}
	if ours.Tenant != "acme" || ours.Scope != "ballots:admin x" {
		t.Errorf("%+v", ours)
	}
}

func TestTheKeyIsKeptAndPrivate(t *testing.T) {
	dir := t.TempDir()
	var first []byte
	for range 2 {
		public, err := Ensure(dir)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(public)
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && !bytes.Equal(first, text) {
			t.Error("another key")
		}
		first = text
	}
	info, err := os.Stat(filepath.Join(dir, keyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if err := os.WriteFile(filepath.Join(dir, keyFile), first, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Ensure(dir); err == nil {
		t.Error("a file without a private key passes")
	}
}

func TestSenselessRequestsAreRefused(t *testing.T) {
	dir := t.TempDir()
	good := request{dataDir: dir, voter: "alice", valid: time.Hour}
	for name, change := range map[string]func(*request){
		"voter":      func(r *request) { r.voter = "" },
		"voter:":     func(r *request) { r.voter = strings.Repeat("a", 256) },
		"tenant":     func(r *request) { r.tenant = "a.b" },
		"tenant:":    func(r *request) { r.tenant = strings.Repeat("a", 33) },
		"valid-for":  func(r *request) { r.valid = 0 },
		"valid-for:": func(r *request) { r.valid = 1000 * time.Hour },
		"data-dir":   func(r *request) { r.dataDir = filepath.Join(dir, "none") },
	} {
		r := good
		change(&r)
		if _, err := r.sign(time.Now()); err == nil || !strings.HasPrefix(err.Error(), strings.TrimSuffix(name, ":")+": expected") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := good.sign(time.Now()); err != nil {
		t.Error(err)
	}
}
