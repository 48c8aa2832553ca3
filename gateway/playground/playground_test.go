package playground

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func serve(t *testing.T, method, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	mux := http.NewServeMux()
	if err := Mount(mux, "/api/<votes>"); err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	recorder := httptest.NewRecorder()
	mux.ServeHTTP(recorder, request)
	return recorder
}

func TestEverythingThePagesNeedIsHere(t *testing.T) {
	links := regexp.MustCompile(`(?:src|href)="([^"]+)"`)
	probes := map[string]bool{"/readyz": true, "/livez": true} // the gateway's own
	for _, page := range []string{"/", Path, LivePath} {
		answer := serve(t, http.MethodGet, page)
		if answer.Code != http.StatusOK {
			t.Fatalf("%s: %d", page, answer.Code)
		}
		for _, link := range links.FindAllStringSubmatch(answer.Body.String(), -1) {
			if target := link[1]; target != "data:," && !probes[target] && serve(t, http.MethodGet, target).Code != http.StatusOK {
				t.Errorf("%s needs %s, which is not here", page, target)
			}
		}
		if !strings.Contains(answer.Body.String(), "/api/&lt;votes&gt;") {
			t.Errorf("%s does not name the endpoint, escaped", page)
		}
		checkHeaders(t, page, answer)
	}
	for _, linked := range []string{Path, LivePath} {
		if !strings.Contains(serve(t, http.MethodGet, "/").Body.String(), `href="`+linked+`"`) {
			t.Errorf("%s is not linked from /", linked)
		}
	}
}

// checkHeaders wants a page that runs no script but our files, loads nothing from elsewhere, and stands in no frame.
func checkHeaders(t *testing.T, page string, answer *httptest.ResponseRecorder) {
	t.Helper()
	policy := answer.Header().Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'self';", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("%s: policy %q lacks %s", page, policy, part)
		}
	}
	if strings.Contains(policy, "http") || strings.Contains(policy, "unsafe") {
		t.Errorf("%s: policy %q", page, policy)
	}
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
	} {
		if got := answer.Header().Get(name); got != want {
			t.Errorf("%s: %s: %q", page, name, got)
		}
	}
	inline := regexp.MustCompile(`(?i)<script(?:[^>]*src=[^>]*)?>[^<]|<style|\bon\w+=|\bstyle=|javascript:`)
	if found := inline.FindString(answer.Body.String()); found != "" {
		t.Errorf("%s holds %q", page, found)
	}
}

func TestAssets(t *testing.T) {
	for name, want := range map[string]string{
		"graphiql.js": "text/javascript; charset=utf-8", "graphiql.css": "text/css; charset=utf-8", "licenses.txt": "text/plain; charset=utf-8",
	} {
		packed := serve(t, http.MethodGet, Path+"/"+name, "Accept-Encoding", "br, gzip")
		if packed.Header().Get("Content-Type") != want || packed.Header().Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: %v", name, packed.Header())
		}
		reader, err := gzip.NewReader(packed.Body)
		if err != nil {
			t.Fatal(err)
		}
		unpacked, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		plain := serve(t, http.MethodGet, Path+"/"+name)
		if plain.Header().Get("Content-Encoding") != "" || plain.Body.String() != string(unpacked) {
			t.Errorf("%s: the two forms differ", name)
		}
		if again := serve(t, http.MethodGet, Path+"/"+name, "If-None-Match", plain.Header().Get("ETag")); again.Code != http.StatusNotModified {
			t.Errorf("%s: %d, want not modified", name, again.Code)
		}
	}
}

func TestNothingElse(t *testing.T) {
	for _, path := range []string{"/other", Path + "/", Path + "/build.sh", Path + "/../playground.go"} {
		if answer := serve(t, http.MethodGet, path); answer.Code == http.StatusOK {
			t.Errorf("%s: %d", path, answer.Code)
		}
	}
	for _, path := range []string{"/", Path, Path + "/react.js"} {
		if answer := serve(t, http.MethodPost, path); answer.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", path, answer.Code)
		}
	}
}
