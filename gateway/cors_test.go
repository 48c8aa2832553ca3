package gateway

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/littlevote/littlevote/gateway/internal/identity"
)

// What a page of another site can make a browser send without asking is refused, at every door; what our own pages and programs
// send is not.
func TestRequestsThatOtherSitesForge(t *testing.T) {
	s, b := newServices(t), newBlog()
	cfg := s.blogConfig(t, b)
	cfg.Gateway.CORS.Origins = []string{"https://app.example.org"}
	cfg.Gateway.RestLogin = true
	gateway := start(t, cfg)
	base := "http://" + gateway.Addr()
	const typename = "?query=%7B__typename%7D"
	for _, path := range []string{gateway.Path() + typename, "/cast/graphql" + typename, "/tiny/graphql" + typename, "/api/blog/list", "/api/user/login?userId=7300000000000001"} {
		for name, test := range map[string]struct {
			header []string
			ok     bool
		}{
			"a program":              {nil, true},
			"our own page":           {[]string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"}, true},
			"typed in":               {[]string{"Sec-Fetch-Site", "none"}, true},
			"our own, older browser": {[]string{"Origin", base}, true},
			"an image elsewhere":     {[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, false},
			"a link elsewhere":       {[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, false},
			"a sister site":          {[]string{"Sec-Fetch-Site", "same-site"}, false},
			"fetch elsewhere":        {[]string{"Origin", "https://evil.example"}, false},
			"a sandboxed frame":      {[]string{"Origin", "null"}, false},
			"a page on the list":     {[]string{"Origin", "https://app.example.org", "Sec-Fetch-Site", "cross-site"}, true},
			"nearly on the list":     {[]string{"Origin", "https://app.example.org.evil.example", "Sec-Fetch-Site", "cross-site"}, false},
			"not even by http":       {[]string{"Origin", "http://app.example.org", "Sec-Fetch-Site", "cross-site"}, false},
			"had to ask: a header":   {[]string{"Origin", "https://evil.example", "Apollo-Require-Preflight", "1"}, true},
			"had to ask: a name":     {[]string{"Sec-Fetch-Site", "cross-site", "X-Apollo-Operation-Name", "A"}, true},
			"had to ask: a type":     {[]string{"Sec-Fetch-Site", "cross-site", "Content-Type", "application/json"}, true},
			"a type of forms":        {[]string{"Sec-Fetch-Site", "cross-site", "Content-Type", "text/plain; charset=utf-8"}, false},
			"an empty header":        {[]string{"Sec-Fetch-Site", "cross-site", "Apollo-Require-Preflight", ""}, false},
		} {
			status, text, _ := gateway.send(http.MethodGet, base+path, "", test.header...)
			if (status == http.StatusOK) != test.ok || !test.ok && (status != http.StatusForbidden || strings.Contains(text, `"__typename"`)) {
				t.Errorf("%s, %s: %d %s", path, name, status, text)
			}
		}
	}
	if got := len(b.begun); got != 8 { // those that may
		t.Errorf("%d logins", got)
	}
}

// As Apollo Server has it: no GET without a header that only programs send.
func TestStrictlyNoRequestWithoutAPreflight(t *testing.T) {
	cfg := newServices(t).config(t)
	cfg.Gateway.RequirePreflight = true
	gateway := start(t, cfg)
	for name, test := range map[string]struct {
		header []string
		ok     bool
	}{
		"nothing":   {nil, false},
		"own page":  {[]string{"Sec-Fetch-Site", "same-origin"}, true},
		"header":    {[]string{"apollo-require-preflight", "true"}, true},
		"operation": {[]string{"x-apollo-operation-name", "A"}, true},
		"type":      {[]string{"Content-Type", "application/json"}, true},
		"form":      {[]string{"Content-Type", "application/x-www-form-urlencoded"}, false},
		"broken":    {[]string{"Content-Type", ";"}, false},
	} {
		status, text, _ := gateway.send(http.MethodGet, gateway.url+"?query="+url.QueryEscape("{__typename}"), "", test.header...)
		if (status == http.StatusOK) != test.ok || !test.ok && gateway.parse(text).code(t) != "CROSS_SITE_REQUEST" {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	if got := gateway.ask(`{ __typename }`, nil); got.Errors != nil {
		t.Errorf("POST: %+v", got)
	}
}

// allowed are the headers of an answer that let pages of other origins in.
func allowed(header http.Header) string {
	var given []string
	for name, values := range header {
		if strings.HasPrefix(name, "Access-Control-") {
			given = append(given, name+": "+strings.Join(values, ","))
		}
	}
	return strings.Join(given, "; ")
}

func TestNoOtherOriginIsLetInByDefault(t *testing.T) {
	s, b := newServices(t), newBlog()
	gateway := start(t, s.blogConfig(t, b))
	base := "http://" + gateway.Addr()
	for _, path := range []string{gateway.Path(), "/cast/graphql", "/api/blog/list", "/", "/playground", "/livez"} {
		for _, method := range []string{http.MethodOptions, http.MethodPost, http.MethodGet} {
			_, _, header := gateway.send(method, base+path, `{"query":"{__typename}"}`, "Content-Type", "application/json",
				"Origin", "https://evil.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type")
			if got := allowed(header); got != "" {
				t.Errorf("%s %s: %s", method, path, got)
			}
		}
	}
}

func TestOriginsOnTheList(t *testing.T) {
	s, b := newServices(t), newBlog()
	cfg := s.blogConfig(t, b)
	cfg.Gateway.CORS.Origins = []string{"https://app.example.org"}
	const page = "https://app.example.org"
	for _, credentials := range []bool{false, true} {
		cfg.Gateway.CORS.Credentials = credentials
		gateway := start(t, cfg)
		base := "http://" + gateway.Addr()
		for _, path := range []string{gateway.Path(), "/cast/graphql", "/tiny/graphql", "/api/thumb/do"} {
			preflight := func(origin, method, headers string) (int, http.Header) {
				status, _, header := gateway.send(http.MethodOptions, base+path, "",
					"Origin", origin, "Access-Control-Request-Method", method, "Access-Control-Request-Headers", headers)
				return status, header
			}
			status, header := preflight(page, "POST", "authorization,content-type,littlevote-tenant")
			if status != http.StatusNoContent || header.Get("Access-Control-Allow-Origin") != page || header.Get("Access-Control-Allow-Methods") != "POST" ||
				header.Get("Access-Control-Max-Age") != "600" || (header.Get("Access-Control-Allow-Credentials") == "true") != credentials {
				t.Errorf("%s: %d %v", path, status, header)
			}
			for name, ask := range map[string][3]string{
				"another origin": {"https://evil.example", "POST", "content-type"}, "null": {"null", "POST", "content-type"},
				"another method": {page, "DELETE", "content-type"}, "another header": {page, "POST", "x-secret"},
			} {
				if _, header := preflight(ask[0], ask[1], ask[2]); allowed(header) != "" {
					t.Errorf("%s, %s: %s", path, name, allowed(header))
				}
			}
		}
		body := `{"query":"{ hasLiked(item: \"` + aPost + `\") }"}`
		status, _, header := gateway.send(http.MethodPost, gateway.url, body, "Content-Type", "application/json", "Origin", page, "Sec-Fetch-Site", "cross-site")
		if status != http.StatusOK || header.Get("Access-Control-Allow-Origin") != page || !strings.Contains(strings.Join(header.Values("Vary"), ","), "Origin") {
			t.Errorf("%d %v", status, header)
		}
		_, _, header = gateway.send(http.MethodPost, gateway.url, body, "Content-Type", "application/json", "Origin", "https://evil.example")
		if got := allowed(header); got != "" {
			t.Errorf("an answer for anybody: %s", got)
		}
		// A cookie counts for such a page only where the settings say so.
		status, text, _ := gateway.send(http.MethodPost, gateway.url, `{"query":"{ me { voter } }"}`, "Content-Type", "application/json", "Origin", page,
			"Sec-Fetch-Site", "cross-site", "Cookie", identity.Cookie+"="+aSession)
		if (status == http.StatusOK) != credentials {
			t.Errorf("credentials %v: %d %s", credentials, status, text)
		}
	}
}
