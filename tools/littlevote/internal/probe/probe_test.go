package probe

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// run is the command line.
func run(t *testing.T, args ...string) error {
	t.Helper()
	cmd := Command()
	cmd.SetArgs(args)
	cmd.SetOut(new(bytes.Buffer))
	cmd.SetErr(new(bytes.Buffer))
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	return cmd.ExecuteContext(t.Context())
}

func TestProbe(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/well":
		case "/ill":
			http.Error(w, "redis is away", http.StatusServiceUnavailable)
		case "/elsewhere":
			http.Redirect(w, r, "/well", http.StatusFound)
		case "/hangs":
			<-r.Context().Done()
		}
	}))
	defer server.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()

	for name, test := range map[string]struct {
		args []string
		want string // in the error; empty: none
	}{
		"well":                    {[]string{server.URL + "/well"}, ""},
		"one of several":          {[]string{closed.URL, server.URL + "/hangs", server.URL + "/well"}, ""},
		"ill, and says why":       {[]string{server.URL + "/ill"}, "redis is away"},
		"a redirection is no yes": {[]string{server.URL + "/elsewhere"}, "302"},
		"nobody there":            {[]string{closed.URL}, "refused"},
		"no answer":               {[]string{"--timeout=20ms", server.URL + "/hangs"}, "deadline"},
		"no URL":                  {nil, "requires at least 1 arg"},
		"not a URL":               {[]string{"http://%"}, "invalid URL"},
	} {
		t.Run(name, func(t *testing.T) {
			err := run(t, test.args...)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("%v, want success", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}
