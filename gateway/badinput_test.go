package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// strict is a vote-service that knows the closed list A to Z, and counts.
func (s *services) strict(counts map[string]int) {
	s.vote = func(_ context.Context, vote *votev1.Vote) *votev1.Verdict {
		for _, choice := range vote.GetChoices() {
			if name := choice.GetCandidate(); len(name) != 1 || name < "A" || name > "Z" {
				return refusedWith(statusv1.Code_CODE_INVALID_ARGUMENT)
			}
		}
		if vote.GetBallot() != "main" {
			return refusedWith(statusv1.Code_CODE_BALLOT_NOT_FOUND)
		}
		for _, choice := range vote.GetChoices() {
			counts[choice.GetCandidate()]++
		}
		return counted(vote)
	}
}

// Names of every bad kind are refused by a definite answer, whole requests with them, and count nothing.
func TestBadNames(t *testing.T) {
	behind := newServices(t)
	counts := map[string]int{}
	behind.strict(counts)
	gateway := behind.start(t)
	many := func(n int) []string { return strings.Split(strings.Repeat("A", n), "") }
	for name, test := range map[string]struct {
		names []string
		calls int64 // of the vote-service
	}{
		"none":             {[]string{}, 0},
		"empty":            {[]string{""}, 0},
		"empty among good": {[]string{"A", ""}, 0},
		"65":               {many(65), 0},
		"10000":            {many(10_000), 0},
		"257 bytes":        {[]string{strings.Repeat("A", 257)}, 0},
		"50 KB":            {[]string{strings.Repeat("A", 50_000)}, 0},
		"replacement":      {[]string{"\uFFFD"}, 0},
		"lower case":       {[]string{"a"}, 1},
		"two letters":      {[]string{"AA"}, 1},
		"blank after":      {[]string{"A "}, 1},
		"blank before":     {[]string{" A"}, 1},
		"full width":       {[]string{"Ａ"}, 1},
		"Cyrillic":         {[]string{"А"}, 1},
		"NFC":              {[]string{"\u00e9"}, 1},
		"NFD":              {[]string{"e\u0301"}, 1},
		"combining":        {[]string{"A\u0301"}, 1},
		"zero width":       {[]string{"A\u200b"}, 1},
		"soft hyphen":      {[]string{"A\u00ad"}, 1},
		"right to left":    {[]string{"\u202eA"}, 1},
		"BOM":              {[]string{"\ufeffA"}, 1},
		"NUL":              {[]string{"A\x00"}, 1},
		"newline":          {[]string{"A\n"}, 1},
		"braces":           {[]string{"{A}"}, 1},
		"colon":            {[]string{"A:B"}, 1},
		"star":             {[]string{"*"}, 1},
		"SQL":              {[]string{"' OR 1=1; --"}, 1},
		"Lua":              {[]string{"]] redis.call('FLUSHALL') --"}, 1},
		"prototype":        {[]string{"__proto__"}, 1},
		"good and bad":     {[]string{"A", "B", "b"}, 1},
		"emoji":            {[]string{"😀"}, 1},
		"Turkish i":        {[]string{"İ"}, 1},
		"digit":            {[]string{"1"}, 1},
		"between Z and a":  {[]string{"["}, 1},
	} {
		before := behind.voteCalls.Load()
		for field, values := range map[string]struct {
			document string
			values   variables
		}{
			"ticketAndVote": {ticketAndVoteDocument, variables{"usernames": test.names}},
			"vote":          {voteDocument, variables{"input": variables{"usernames": test.names, "ticket": ticketInput(t, claimsNow("main"))}}},
		} {
			got := gateway.ask(values.document, values.values).field(t, field)
			if got["success"] != false || got["code"] != "INVALID_ARGUMENT" || got["outcome"] != "NONE" || got["retryable"] != false || got["message"] == "" {
				t.Errorf("%s: %s: %v", name, field, got["code"])
			}
		}
		if calls := behind.voteCalls.Load() - before; calls != 2*test.calls {
			t.Errorf("%s: %d calls, want %d", name, calls, 2*test.calls)
		}
	}
	if len(counts) > 0 {
		t.Errorf("counted %v", counts)
	}
	// The same name twice is no mistake: it sums.
	if got := gateway.ask(ticketAndVoteDocument, variables{"usernames": []string{"A", "A"}}).field(t, "ticketAndVote"); got["success"] != true || counts["A"] != 2 {
		t.Errorf("%v, counted %v", got, counts)
	}
}

// Values of another kind than the schema's are an error of the document, before anything is called.
func TestBadKinds(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	good := ticketInput(t, claimsNow("main"))
	with := func(field string, value any) variables {
		changed := maps.Clone(good)
		changed[field] = value
		return changed
	}
	without := func(field string) variables {
		changed := maps.Clone(good)
		delete(changed, field)
		return changed
	}
	raw := func(text string) json.RawMessage { return json.RawMessage(text) }
	inputs := map[string]variables{
		"names null":           {"usernames": nil, "ticket": good},
		"names missing":        {"ticket": good},
		"name null":            {"usernames": []any{nil}, "ticket": good},
		"name number":          {"usernames": []any{1}, "ticket": good},
		"name true":            {"usernames": []any{true}, "ticket": good},
		"name list":            {"usernames": []any{[]any{"A"}}, "ticket": good},
		"name object":          {"usernames": []any{variables{"A": 1}}, "ticket": good},
		"ticket missing":       {"usernames": []string{"A"}},
		"ticket null":          {"usernames": []string{"A"}, "ticket": nil},
		"ticket text":          {"usernames": []string{"A"}, "ticket": "x"},
		"ticket list":          {"usernames": []string{"A"}, "ticket": []any{}},
		"unknown field":        {"usernames": []string{"A"}, "ticket": good, "admin": true},
		"unknown ticket field": {"usernames": []string{"A"}, "ticket": with("used", 0)},
		"key number":           {"usernames": []string{"A"}, "ticket": good, "idempotencyKey": 1},
		"ballot true":          {"usernames": []string{"A"}, "ticket": good, "ballot": true},
		"value number":         {"usernames": []string{"A"}, "ticket": with("value", 1)},
		"value null":           {"usernames": []string{"A"}, "ticket": with("value", nil)},
		"expiry null":          {"usernames": []string{"A"}, "ticket": with("expiresAt", nil)},
	}
	for _, field := range []string{"value", "version", "remainingUsages", "expiresAt", "createdAt"} {
		inputs["no "+field] = variables{"usernames": []string{"A"}, "ticket": without(field)}
	}
	for _, number := range []string{`"1"`, `true`, `null`, `1.5`, `2147483648`, `-2147483649`, `1e10`, `[]`, `9223372036854775808`} {
		inputs["remaining "+number] = variables{"usernames": []string{"A"}, "ticket": with("remainingUsages", raw(number))}
	}
	for name, input := range inputs {
		answer := gateway.ask(voteDocument, variables{"input": input})
		if answer.code(t) != "BAD_USER_INPUT" || answer.Data != nil || answer.Errors[0].Extensions["outcome"] != "NONE" {
			t.Errorf("%s: %+v", name, answer)
		}
	}
	if calls := behind.voteCalls.Load(); calls != 0 {
		t.Errorf("%d calls", calls)
	}
	// What is a whole number is an Int, however it is written.
	for _, number := range []string{`1.0`, `-0`, `1E2`, `2147483647`, `-2147483648`} {
		input := variables{"usernames": []string{"A"}, "ticket": with("remainingUsages", raw(number))}
		if got := gateway.ask(voteDocument, variables{"input": input}).field(t, "vote"); got["success"] != true {
			t.Errorf("%s: %v", number, got)
		}
	}
}

// What is no ticket of ours never reaches the vote-service.
func TestBadTickets(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	claims := claimsNow("main")
	value, version := devKeys(t).Mint(claims), claims.Version()
	other, tomorrow := claimsNow("cast"), claims
	tomorrow.Number++
	flipped := []byte(value)
	flipped[len(flipped)/2] ^= 1
	for name, test := range map[string]struct{ value, version string }{
		"empty":               {"", version},
		"garbage":             {"garbage", version},
		"50 KB":               {strings.Repeat("A", 50_000), version},
		"newline after":       {value + "\n", version},
		"blank before":        {" " + value, version},
		"NUL after":           {value + "\x00", version},
		"padded":              {value + "=", version},
		"upper case":          {strings.ToUpper(value), version},
		"lower case":          {strings.ToLower(value), version},
		"one bit":             {string(flipped), version},
		"cut off":             {value[:len(value)-1], version},
		"twice":               {value + value, version},
		"no version":          {value, ""},
		"version after":       {value, tomorrow.Version()},
		"version with sign":   {value, "+" + version},
		"version with zero":   {value, "0" + version},
		"version and newline": {value, version + "\n"},
		"value of another":    {devKeys(t).Mint(tomorrow), version},
		"other ballot's":      {devKeys(t).Mint(other), other.Version()},
		"SQL":                 {"' OR 1=1", "' OR 1=1"},
		"Unicode":             {"票据", "版本"},
	} {
		input := ticketInput(t, claims)
		input["value"], input["version"] = test.value, test.version
		got := gateway.ask(voteDocument, variables{"input": variables{"usernames": []string{"A"}, "ticket": input}}).field(t, "vote")
		if got["code"] != "TICKET_INVALID" || got["message"] != "票据已过期或版本不匹配" || got["outcome"] != "NONE" || got["retryable"] != false {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if calls := behind.voteCalls.Load(); calls != 0 {
		t.Errorf("%d calls", calls)
	}
}

// Copies that the client keeps of the ticket's times decide nothing, but they must be dates.
func TestDates(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	for date, valid := range map[string]bool{
		"2025-01-01T00:00:00Z": true, "2025-01-01T00:00:00.123456789+08:00": true, "0001-01-01T00:00:00Z": true, "9999-12-31T23:59:59Z": true,
		"2024-02-29T00:00:00-23:59": true,
		"10000-01-01T00:00:00Z":     false, "2025-02-29T00:00:00Z": false, "2025-01-01T24:00:00Z": false, "2025-01-01T00:00:00": false,
		"2025-01-01T00:00:00+0800": false, "2025-01-01T00:00:00Z ": false, "1735689600": false, "null": false, "Thu, 01 Jan 2025 00:00:00 GMT": false,
		"2025-01-01T00:00:00Z\n": false, "-001-01-01T00:00:00Z": false, "２０２５-01-01T00:00:00Z": false,
	} {
		input := ticketInput(t, claimsNow("main"))
		input["expiresAt"] = date
		answer := gateway.ask(voteDocument, variables{"input": variables{"usernames": []string{"A"}, "ticket": input}})
		if valid != (answer.Errors == nil) || !valid && answer.code(t) != "INVALID_ARGUMENT" {
			t.Errorf("%q: %+v", date, answer)
		}
	}
}

func TestBadKeysAndBallots(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	id := uuid.NewString()
	for name, test := range map[string]struct{ key, ballot string }{
		"empty key":          {"", "main"},
		"10 KB key":          {strings.Repeat("a", 10_000), "main"},
		"number":             {"1", "main"},
		"URN":                {"urn:uuid:" + id, "main"},
		"braces":             {"{" + id + "}", "main"},
		"no hyphens":         {strings.ReplaceAll(id, "-", ""), "main"},
		"newline":            {id + "\n", "main"},
		"other letters":      {strings.Repeat("g", 8) + id[8:], "main"},
		"empty ballot":       {id, ""},
		"upper-case ballot":  {id, "MAIN"},
		"65 bytes":           {id, strings.Repeat("a", 65)},
		"50 KB":              {id, strings.Repeat("a", 50_000)},
		"ballot in a ballot": {id, "main}:x"},
		"newline in ballot":  {id, "main\n"},
		"path":               {id, "../main"},
		"star":               {id, "*"},
		"NUL":                {id, "main\x00"},
		"Unicode":            {id, "ｍain"},
	} {
		got := gateway.ask(ticketAndVoteDocument, variables{"usernames": []string{"A"}, "ballot": test.ballot, "key": test.key}).field(t, "ticketAndVote")
		if got["code"] != "INVALID_ARGUMENT" || got["outcome"] != "NONE" || got["message"] == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if calls := behind.voteCalls.Load(); calls != 0 {
		t.Errorf("%d calls", calls)
	}
}

// Text that is no text is refused before anything looks at it.
func TestInvalidText(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	for name, text := range map[string]string{
		"invalid UTF-8": "\xff", "overlong": "\xc0\xaf", "surrogate in UTF-8": "\xed\xa0\x80", "high alone": `\ud800`, "low alone": `\udc00`,
		"swapped": `\udc00\ud800`, "control character": "\x01", "newline": "\n", "NUL": "\x00",
	} {
		for _, body := range []string{
			`{"query":"mutation($u:[String!]!){ticketAndVote(usernames:$u){code}}","variables":{"u":["` + text + `"]}}`,
			`{"query":"mutation{ticketAndVote(usernames:[\"` + text + `\"]){code}}"}`,
		} {
			status, answer, _ := gateway.send(http.MethodPost, gateway.url, body, "Content-Type", legacyType)
			if status != http.StatusBadRequest || gateway.parse(answer).code(t) != "BAD_REQUEST" {
				t.Errorf("%s: %d %s", name, status, answer)
			}
		}
	}
	if calls := behind.voteCalls.Load(); calls != 0 {
		t.Errorf("%d calls", calls)
	}
}

// What a client says of itself changes nothing: nobody here believes a header.
func TestHeadersThatClaim(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	var list []string
	for i := range 200 {
		list = append(list, fmt.Sprintf("10.0.%d.1", i))
	}
	for _, header := range [][2]string{
		{"X-Forwarded-For", strings.Join(list, ", ")}, {"X-Forwarded-For", "' OR 1=1"}, {"X-Forwarded-For", "::1, , ,"}, {"Forwarded", "for=\"[2001:db8::1]\""},
		{"X-Forwarded-Host", "evil.example"}, {"X-Forwarded-Proto", "gopher"}, {"X-HTTP-Method-Override", "DELETE"}, {"Traceparent", "garbage"},
		{"Accept-Language", strings.Repeat("en;q=0.1,", 1000)}, {"Grpc-Timeout", "1n"}, {"Connect-Timeout-Ms", "-1"},
	} {
		if got := gateway.ask(`{ getUserVotes(username: "A") { votes } }`, nil, header[0], header[1]); got.Errors != nil {
			t.Errorf("%s: %+v", header[0], got)
		}
	}
}
