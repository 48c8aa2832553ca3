package gateway

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Whatever comes in, the answer is JSON with a status that fits, in bounded time and space, and no vote gets through by GET.
func FuzzHTTP(f *testing.F) {
	for _, seed := range []struct{ method, rawQuery, contentType, accept, language, body string }{
		{"POST", "", legacyType, legacyType, "", typename},
		{"POST", "", "application/json; charset=utf-8", modernType, "en;q=0.5,zh", `{"query":"mutation($u:[String!]!){ticketAndVote(usernames:$u){code}}","variables":{"u":["A"]}}`},
		{"GET", "query=" + url.QueryEscape(`{getUserVotes(username:"A"){votes}}`), "", "*/*", "", ""},
		{"GET", "query=" + url.QueryEscape(`mutation{ticketAndVote(usernames:"A"){code}}`), "", "*/*;q=0.1", "", ""},
		{"POST", "", legacyType, "", "", `{"query":"{...F} fragment F on Query{...F}","operationName":"\ud800"}`},
		{"POST", "", legacyType, "", "", `{"query":"query($r:[_Any!]!){_entities(representations:$r){__typename}}","variables":{"r":[{"__typename":"UserVote"}]}}`},
		{"PUT", "", "text/plain", "text/html", "*", "x"},
	} {
		f.Add(seed.method, seed.rawQuery, seed.contentType, seed.accept, seed.language, []byte(seed.body))
	}
	behind := newServices(f)
	gateway := behind.start(f)
	handler := gateway.server.Handler
	f.Fuzz(func(t *testing.T, method, rawQuery, contentType, accept, language string, body []byte) {
		request := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(string(body)))
		request.Method, request.URL.RawQuery = method, rawQuery
		request.Header = http.Header{"Content-Type": {contentType}, "Accept": {accept}, "Accept-Language": {language}}
		voted := behind.voteCalls.Load()
		recorder := httptest.NewRecorder()
		started := time.Now()
		handler.ServeHTTP(recorder, request)
		if took := time.Since(started); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		if method != http.MethodPost && behind.voteCalls.Load() != voted {
			t.Errorf("%s voted", method)
		}
		if recorder.Code >= 500 {
			t.Errorf("status %d: %s", recorder.Code, recorder.Body)
		}
		if recorder.Code == http.StatusSeeOther {
			return
		}
		if text := recorder.Body.Bytes(); !json.Valid(text) || len(text) > 1<<20 {
			t.Errorf("an answer of %d bytes: %.200s", len(text), text)
		}
	})
}
