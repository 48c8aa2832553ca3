package gateway

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

const (
	legacyType = "application/json"
	modernType = "application/graphql-response+json"
	jsonType   = "application/json; charset=utf-8"
	modernJSON = "application/graphql-response+json; charset=utf-8"
	typename   = `{"query":"{__typename}"}`
)

func TestPost(t *testing.T) {
	gateway := newServices(t).start(t)
	long := strings.Repeat(" ", 64<<10)
	for name, test := range map[string]struct {
		body        string
		contentType string
		status      int
		code        string
	}{
		"plain":                 {typename, legacyType, 200, ""},
		"charset":               {typename, "application/json;charset=UTF-8", 200, ""},
		"quoted charset":        {typename, `Application/JSON; charset="utf-8"`, 200, ""},
		"all members":           {`{"query":"query A{__typename}","operationName":"A","variables":{},"extensions":{}}`, legacyType, 200, ""},
		"nulls":                 {`{"query":"{__typename}","operationName":null,"variables":null,"extensions":null}`, legacyType, 200, ""},
		"unknown members":       {`{"id":[1,{"a":null}],"query":"{__typename}","doc_id":"5"}`, legacyType, 200, ""},
		"white space":           {" \r\n\t" + typename + "\n", legacyType, 200, ""},
		"escapes":               {`{"\u0071uery":"\u007b__typename\u007d"}`, legacyType, 200, ""},
		"no type":               {typename, "", 415, "UNSUPPORTED_MEDIA_TYPE"},
		"form":                  {"query={__typename}", "application/x-www-form-urlencoded", 415, "UNSUPPORTED_MEDIA_TYPE"},
		"multipart":             {typename, "multipart/form-data; boundary=x", 415, "UNSUPPORTED_MEDIA_TYPE"},
		"text":                  {typename, "text/plain", 415, "UNSUPPORTED_MEDIA_TYPE"},
		"text that looks right": {typename, "text/plain; application/json", 415, "UNSUPPORTED_MEDIA_TYPE"},
		"graphql":               {"{__typename}", "application/graphql", 415, "UNSUPPORTED_MEDIA_TYPE"},
		"other charset":         {typename, "application/json; charset=utf-16", 415, "UNSUPPORTED_MEDIA_TYPE"},
		"broken type":           {typename, "application/json; ;;=", 415, "UNSUPPORTED_MEDIA_TYPE"},
		"empty":                 {"", legacyType, 400, "BAD_REQUEST"},
		"no JSON":               {"{__typename}", legacyType, 400, "BAD_REQUEST"},
		"cut off":               {`{"query":"{__typename}"`, legacyType, 400, "BAD_REQUEST"},
		"batch":                 {"[" + typename + "]", legacyType, 400, "BAD_REQUEST"},
		"string":                {`"{__typename}"`, legacyType, 400, "BAD_REQUEST"},
		"trailing junk":         {typename + "x", legacyType, 400, "BAD_REQUEST"},
		"two objects":           {typename + typename, legacyType, 400, "BAD_REQUEST"},
		"a name twice":          {`{"query":"{__typename}","query":"{__typename}"}`, legacyType, 400, "BAD_REQUEST"},
		"no query":              {`{}`, legacyType, 400, "BAD_REQUEST"},
		"null query":            {`{"query":null}`, legacyType, 400, "BAD_REQUEST"},
		"empty query":           {`{"query":""}`, legacyType, 400, "BAD_REQUEST"},
		"number query":          {`{"query":1}`, legacyType, 400, "BAD_REQUEST"},
		"object query":          {`{"query":{}}`, legacyType, 400, "BAD_REQUEST"},
		"list variables":        {`{"query":"{__typename}","variables":[]}`, legacyType, 400, "BAD_REQUEST"},
		"string variables":      {`{"query":"{__typename}","variables":"{}"}`, legacyType, 400, "BAD_REQUEST"},
		"string extensions":     {`{"query":"{__typename}","extensions":"{}"}`, legacyType, 400, "BAD_REQUEST"},
		"number operationName":  {`{"query":"{__typename}","operationName":5}`, legacyType, 400, "BAD_REQUEST"},
		"long operationName":    {`{"query":"{__typename}","operationName":"` + strings.Repeat("A", 257) + `"}`, legacyType, 400, "BAD_REQUEST"},
		"invalid UTF-8":         {"{\"query\":\"{__typename} # \xff\"}", legacyType, 400, "BAD_REQUEST"},
		"lone surrogate":        {`{"query":"{__typename}","variables":{"a":"\ud800"}}`, legacyType, 400, "BAD_REQUEST"},
		"deep variables":        {`{"query":"{__typename}","variables":{"a":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}}`, legacyType, 400, "BAD_REQUEST"},
		"too long":              {typename + long, legacyType, 413, "PAYLOAD_TOO_LARGE"},
	} {
		var header []string
		if test.contentType != "" {
			header = []string{"Content-Type", test.contentType}
		}
		status, text, got := gateway.send(http.MethodPost, gateway.url, test.body, header...)
		if status != test.status || got.Get("Content-Type") != jsonType {
			t.Errorf("%s: %d %s %s", name, status, got.Get("Content-Type"), text)
			continue
		}
		if answer := gateway.parse(text); test.code != "" && (answer.code(t) != test.code || strings.Contains(text, `"data"`)) {
			t.Errorf("%s: %s", name, text)
		}
	}
	if status, _, _ := gateway.send(http.MethodPost, gateway.url, typename, "Content-Type", legacyType, "Content-Encoding", "gzip"); status != 415 {
		t.Errorf("compressed: %d", status)
	}
	if status, _, _ := gateway.send(http.MethodPost, gateway.url, typename, "Content-Type", legacyType, "Content-Type", "text/plain"); status != 415 {
		t.Errorf("two types: %d", status)
	}
}

// A body without a length is bounded while it is read.
func TestChunkedBodyIsBounded(t *testing.T) {
	gateway := newServices(t).start(t)
	for size, want := range map[int]int{100: 200, 1 << 20: 413} {
		body := struct{ *strings.Reader }{strings.NewReader(typename + strings.Repeat(" ", size))} // hides its length
		response, err := http.Post(gateway.url, legacyType, body)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%d bytes: %d, want %d", size, response.StatusCode, want)
		}
	}
}

func TestGet(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	query := func(pairs ...string) string {
		values := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			values.Add(pairs[i], pairs[i+1])
		}
		return gateway.url + "?" + values.Encode()
	}
	const byName = `query Q($n: String!) { getUserVotes(username: $n) { votes } }`
	for name, test := range map[string]struct {
		url    string
		status int
		code   string
	}{
		"plain":               {query("query", "{__typename}"), 200, ""},
		"as typed into curl":  {gateway.url + "?query={__typename}", 200, ""},
		"all parameters":      {query("query", byName, "variables", `{"n":"A"}`, "operationName", "Q", "extensions", "{}"), 200, ""},
		"null variables":      {query("query", "{__typename}", "variables", "null"), 200, ""},
		"unknown parameter":   {query("query", "{__typename}", "x", "y"), 200, ""},
		"nothing":             {gateway.url, 400, "BAD_REQUEST"},
		"empty query":         {query("query", ""), 400, "BAD_REQUEST"},
		"query twice":         {query("query", "{__typename}", "query", "{__typename}"), 400, "BAD_REQUEST"},
		"broken escape":       {gateway.url + "?query=%zz", 400, "BAD_REQUEST"},
		"invalid UTF-8":       {gateway.url + "?query=%7B__typename%7D%23%ff", 400, "BAD_REQUEST"},
		"list variables":      {query("query", "{__typename}", "variables", "[]"), 400, "BAD_REQUEST"},
		"broken variables":    {query("query", "{__typename}", "variables", "{"), 400, "BAD_REQUEST"},
		"variables with junk": {query("query", "{__typename}", "variables", "{}x"), 400, "BAD_REQUEST"},
		"long operationName":  {query("query", "{__typename}", "operationName", strings.Repeat("A", 257)), 400, "BAD_REQUEST"},
		"mutation":            {query("query", `mutation { ticketAndVote(usernames: ["A"]) { code } }`), 405, "METHOD_NOT_ALLOWED"},
		"mutation among others": {
			query("query", `query A { __typename } mutation B { ticketAndVote(usernames: ["A"]) { code } }`, "operationName", "B"), 405, "METHOD_NOT_ALLOWED",
		},
		"query among others": {
			query("query", `query A { __typename } mutation B { ticketAndVote(usernames: ["A"]) { code } }`, "operationName", "A"), 200, "",
		},
		"too long": {query("query", "{__typename}"+strings.Repeat(" ", 64<<10)), 414, "PAYLOAD_TOO_LARGE"},
	} {
		status, text, header := gateway.send(http.MethodGet, test.url, "")
		if status != test.status {
			t.Errorf("%s: %d %s", name, status, text)
			continue
		}
		if test.code != "" && gateway.parse(text).code(t) != test.code {
			t.Errorf("%s: %s", name, text)
		}
		if status == http.StatusMethodNotAllowed && header.Get("Allow") != "POST" {
			t.Errorf("%s: Allow %q", name, header.Get("Allow"))
		}
	}
	if calls := behind.voteCalls.Load(); calls != 0 {
		t.Errorf("a GET voted %d times", calls)
	}
}

func TestOtherMethods(t *testing.T) {
	gateway := newServices(t).start(t)
	for _, method := range []string{"PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "QUERY"} {
		status, _, header := gateway.send(method, gateway.url, typename, "Content-Type", legacyType)
		if status != http.StatusMethodNotAllowed || header.Get("Allow") != "GET, POST" {
			t.Errorf("%s: %d, Allow %q", method, status, header.Get("Allow"))
		}
	}
}

func TestAccept(t *testing.T) {
	gateway := newServices(t).start(t)
	for accept, want := range map[string]string{
		"":                                      jsonType,
		"*/*":                                   jsonType,
		"application/*":                         jsonType,
		legacyType:                              jsonType,
		"Application/JSON; charset=utf-8":       jsonType,
		modernType:                              modernJSON,
		modernType + "; charset=utf-8":          modernJSON,
		modernType + "," + legacyType:           modernJSON,
		legacyType + ", " + modernType:          modernJSON,
		modernType + ";q=0.9, " + legacyType:    jsonType,
		modernType + ", application/json;q=0.9": modernJSON,
		modernType + ", */*;q=0.1":              modernJSON,
		"application/json;q=0, */*":             modernJSON,
		"text/html, */*;q=0.8":                  jsonType,
		// What a router sends: streams are an offer, not a wish.
		`multipart/mixed;boundary="graphql";subscriptionSpec=1.0,multipart/mixed;deferSpec=20220824,application/json`: jsonType,
		"text/event-stream, " + modernType: modernJSON,
		"text/html":                        "",
		"text/event-stream":                "",
		"multipart/mixed":                  "",
		"*/*;q=0":                          "",
		"application/json;q=0":             "",
		"application/json;q=x":             "",
		"application/jsonx":                "",
	} {
		header := []string{"Content-Type", legacyType, "Accept", accept}
		if accept == "" {
			header = header[:2]
		}
		status, text, got := gateway.send(http.MethodPost, gateway.url, typename, header...)
		switch {
		case want == "" && status != http.StatusNotAcceptable:
			t.Errorf("%q: %d %s", accept, status, text)
		case want != "" && (status != http.StatusOK || got.Get("Content-Type") != want):
			t.Errorf("%q: %d %s", accept, status, got.Get("Content-Type"))
		}
	}
}

// A document that can't be executed is 400 for who asks for the modern type, and 200 for the others.
func TestStatusOfBadDocuments(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	for name, test := range map[string]struct{ body, code string }{
		"syntax":              {`{"query":"{"}`, "GRAPHQL_PARSE_FAILED"},
		"unknown field":       {`{"query":"{ nothing }"}`, "GRAPHQL_VALIDATION_FAILED"},
		"no operation":        {`{"query":"fragment F on Query { __typename }"}`, "GRAPHQL_VALIDATION_FAILED"},
		"unknown operation":   {`{"query":"query A { __typename }","operationName":"B"}`, "OPERATION_RESOLUTION_FAILURE"},
		"which operation":     {`{"query":"query A { __typename } query B { __typename }"}`, "OPERATION_RESOLUTION_FAILURE"},
		"missing variable":    {`{"query":"query($n: String!) { getUserVotes(username: $n) { votes } }"}`, "BAD_USER_INPUT"},
		"wrong variable":      {`{"query":"query($n: String!) { getUserVotes(username: $n) { votes } }","variables":{"n":1}}`, "BAD_USER_INPUT"},
		"subscription":        {`{"query":"subscription { tally }"}`, "GRAPHQL_VALIDATION_FAILED"},
		"defer":               {`{"query":"{ ... @defer { __typename } }"}`, "GRAPHQL_VALIDATION_FAILED"},
		"selection on a leaf": {`{"query":"{ getTicket { value { x } } }"}`, "GRAPHQL_VALIDATION_FAILED"},
	} {
		for accept, want := range map[string]int{legacyType: 200, modernType: 400} {
			status, text, _ := gateway.send(http.MethodPost, gateway.url, test.body, "Content-Type", legacyType, "Accept", accept)
			if status != want || strings.Contains(text, `"data"`) {
				t.Errorf("%s: %d, want %d: %s", name, status, want, text)
			}
			if answer := gateway.parse(text); len(answer.Errors) == 0 || answer.Errors[0].Extensions["code"] != test.code {
				t.Errorf("%s: %s", name, text)
			}
		}
	}
	// An executed operation is 200 either way, whatever became of its fields.
	for _, accept := range []string{legacyType, modernType} {
		status, text, _ := gateway.send(http.MethodPost, gateway.url, `{"query":"{ getUserVotes(username: \"AA\") { votes } }"}`,
			"Content-Type", legacyType, "Accept", accept)
		if status != http.StatusOK || !strings.Contains(text, `"data":null`) {
			t.Errorf("%d: %s", status, text)
		}
	}
}

func TestAnswersAreForNobodyElse(t *testing.T) {
	gateway := newServices(t).start(t)
	_, _, header := gateway.send(http.MethodPost, gateway.url, typename, "Content-Type", legacyType, "Origin", "https://evil.example")
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Access-Control-Allow-Origin": "",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// What a client sends never comes back from before the document was read.
func TestNothingIsEchoed(t *testing.T) {
	gateway := newServices(t).start(t)
	for _, body := range []string{`{"query":5,"x":"SECRET"}`, `SECRET`, `{"query":"{__typename}","operationName":"SECRET"}`, `{"SECRET`} {
		if _, text, _ := gateway.send(http.MethodPost, gateway.url, body, "Content-Type", legacyType); strings.Contains(text, "SECRET") {
			t.Errorf("%s: %s", body, text)
		}
	}
}

func TestTooManyRequestsAtOnce(t *testing.T) {
	behind := newServices(t)
	cfg := behind.config(t)
	cfg.Gateway.MaxRequests = 1
	gateway := start(t, cfg)
	entered, release := make(chan struct{}), make(chan struct{})
	behind.vote = blockVote(entered, release)
	done := make(chan struct{})
	go func() {
		defer close(done)
		gateway.voteOnce("")
	}()
	<-entered
	status, text, header := gateway.send(http.MethodPost, gateway.url, typename, "Content-Type", legacyType)
	if status != http.StatusTooManyRequests || header.Get("Retry-After") == "" || gateway.parse(text).code(t) != "OVERLOADED" {
		t.Errorf("%d %s", status, text)
	}
	close(release)
	<-done
	await(t, "there is room again", func() bool {
		status, _, _ := gateway.send(http.MethodPost, gateway.url, typename, "Content-Type", legacyType)
		return status == http.StatusOK
	})
}

func TestThePathIsASetting(t *testing.T) {
	cfg := newServices(t).config(t)
	cfg.Gateway.Path = "/api/v1/graphql"
	gateway := start(t, cfg)
	if !strings.HasSuffix(gateway.url, "/api/v1/graphql") {
		t.Fatal(gateway.url)
	}
	if got := gateway.ask("{ __typename }", nil); got.Data["__typename"] != "Query" {
		t.Errorf("%+v", got)
	}
	if status, _, _ := gateway.send(http.MethodPost, "http://"+gateway.Addr()+"/graphql", typename, "Content-Type", legacyType); status != http.StatusNotFound {
		t.Errorf("the default path: %d", status)
	}
}

// A client that sends its body a byte at a time is cut off.
func TestServerTimeouts(t *testing.T) {
	cfg := newServices(t).config(t)
	gateway := start(t, cfg)
	for name, timeout := range map[string]time.Duration{
		"headers": gateway.server.ReadHeaderTimeout, "body": gateway.server.ReadTimeout,
		"answer": gateway.server.WriteTimeout, "idle": gateway.server.IdleTimeout,
	} {
		if timeout <= 0 || timeout > 5*time.Minute {
			t.Errorf("%s: %v", name, timeout)
		}
	}
	if gateway.server.WriteTimeout <= cfg.Gateway.RequestTimeout {
		t.Error("an answer in time could not be written")
	}
}
