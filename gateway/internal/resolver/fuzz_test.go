package resolver

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/ticket"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// Whatever a name is, what goes on to a service is text within the bounds, and nothing that the bounds allow is refused.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{"", "A", "AA", "A ", "Ａ", "А", "é", "e\u0301", "\u200b", "\u202e", "a\x00b", "{}:*", "' OR 1=1", "\xff", "\ufffd", strings.Repeat("票", 86)} {
		f.Add(seed, uint8(1), "main")
	}
	f.Add("A", uint8(64), "cast")
	f.Add("A", uint8(65), "Main")
	f.Fuzz(func(t *testing.T, name string, n uint8, ballot string) {
		list := make([]string, n)
		for i := range list {
			list[i] = name
		}
		_, ok := names(list, ballot)
		good := n > 0 && n <= maxNames && name != "" && len(name) <= maxName && utf8.ValidString(name) && !strings.ContainsRune(name, utf8.RuneError)
		if ok != good {
			t.Errorf("%d times %q: %v", n, name, ok)
		}
		if found, ok := ballotName(t.Context(), &ballot); ok && (found != ballot || ballot == "" || len(ballot) > 64 || strings.Trim(ballot, "abcdefghijklmnopqrstuvwxyz0123456789-") != "") {
			t.Errorf("%q is taken for the ballot %q", ballot, found)
		}
	})
}

// Only what the keys of this system made passes for a ticket, with its own version, ballot and time.
func FuzzTickets(f *testing.F) {
	keys, err := ticket.Open("", true)
	if err != nil {
		f.Fatal(err)
	}
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	// A ticket of main, 1.7.2, made with the known key for development: each process of a fuzz run must know the same one.
	const minted = "AQRtYWluAQcCgJj66J800A92Bk2ijyZGgMQmSascJU11cb4OUzBeS-AjiM6DyJZCPg"
	if code := checkTicket(keys, &votev1.TicketRef{Value: minted, Version: "1.7.2"}, "main", false, now); code != statusv1.Code_CODE_OK {
		f.Fatal(code)
	}
	for _, value := range []string{"", "x", minted, minted[1:], minted + "A", minted + "\n", strings.ToUpper(minted), strings.Repeat("A", 1000)} {
		f.Add(value, "1.7.2", "main", false)
	}
	f.Add(minted, "1.7.3", "main", true)
	f.Add(minted, "1.7.2", "cast", true)
	f.Fuzz(func(t *testing.T, value, version, ballot string, keyed bool) {
		ref := &votev1.TicketRef{Value: value, Version: version}
		if checkTicket(keys, ref, ballot, keyed, now) != statusv1.Code_CODE_OK {
			return
		}
		if value != minted || version != "1.7.2" || ballot != "main" {
			t.Errorf("%q, version %q, passes on %q", value, version, ballot)
		}
	})
}

// A token that goes on is short and plain; a key and a vote's id are a UUID in its one form.
func FuzzTokensAndKeys(f *testing.F) {
	for _, seed := range []string{"", "1.42.0193f2a45b6c7d8e9f00112233445566", " ", "票", "\x00", "0190163D-8694-739B-AEA5-966C26F8AD91", "urn:uuid:0190163d-8694-739b-aea5-966c26f8ad91", "{0190163d-8694-739b-aea5-966c26f8ad91}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if validToken(text) && (text == "" || len(text) > maxToken || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })) {
			t.Errorf("%q passes for a token", text)
		}
		if key, ok := idempotencyKey(&text); ok {
			if again, ok := canonicalUUID(key); !ok || again != key || !strings.EqualFold(key, text) || uuid.Validate(key) != nil {
				t.Errorf("%q is taken for the key %q", text, key)
			}
		}
		if isDate(text) {
			if _, err := time.Parse(time.RFC3339, text); err != nil {
				t.Errorf("%q passes for a date: %v", text, err)
			}
		}
	})
}
