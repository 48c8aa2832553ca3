package client

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A voter says who they are by a token, from the command line or from a file, and whose ballot they mean.
func TestATokenGoesAlong(t *testing.T) {
	var seen http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		_, _ = io.WriteString(w, `{"data":{"ticketAndVote":{"success":true,"message":"ok","code":"OK"}}}`)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("x.y.z\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ token, tenant, authorization string }{
		{"", "", ""}, {"x.y.z", "", "Bearer x.y.z"}, {"@" + file, "acme", "Bearer x.y.z"},
	} {
		cmd := VoteCommand()
		cmd.SetOut(new(bytes.Buffer))
		cmd.SetArgs([]string{"A", "--url", server.URL, "--token", test.token, "--tenant", test.tenant})
		if err := cmd.Execute(); err != nil {
			t.Fatal(err)
		}
		if seen.Get("Authorization") != test.authorization || seen.Get("Littlevote-Tenant") != test.tenant {
			t.Errorf("%q, %q: %v", test.token, test.tenant, seen)
		}
	}
	cmd := VoteCommand()
	cmd.SetArgs([]string{"A", "--url", server.URL, "--token", "@" + file + "x"})
	if err := cmd.Execute(); err == nil || !strings.HasPrefix(err.Error(), "token: ") {
		t.Errorf("a file that is not there: %v", err)
	}
}
