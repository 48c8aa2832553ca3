package ticket

import (
	"strings"
	"testing"
)

func TestS43HMACOf64HexDigits(t *testing.T) {
	keys := newKeys(t, secretA)
	seen := map[string]bool{}
	for range 100 {
		value := keys.MintAs(HMAC, Claims{Ballot: "cast", Epoch: 1, Number: 2, Fence: 3})
		if len(value) != 64 || strings.Trim(value, "0123456789abcdef") != "" {
			t.Fatalf("%q is not 64 hexadecimal digits", value)
		}
		if seen[value] {
			t.Fatal("the same value twice for one version: it could be guessed from the version")
		}
		seen[value] = true
		if !HMAC.Fits(value) || UUID.Fits(value) || !IsPlain(value) {
			t.Fatalf("%q does not fit its form", value)
		}
		if _, err := keys.Verify(value); err == nil {
			t.Fatalf("%q passes for a signed value", value)
		}
	}
}

func TestS56UUID(t *testing.T) {
	keys := newKeys(t, secretA)
	first, second := keys.MintAs(UUID, Claims{Ballot: "tiny"}), keys.MintAs(UUID, Claims{Ballot: "tiny"})
	if first == second || !UUID.Fits(first) || HMAC.Fits(first) || !IsPlain(first) {
		t.Errorf("%q and %q", first, second)
	}
}

func TestOtherFormsAreSigned(t *testing.T) {
	keys := newKeys(t, secretA)
	for _, form := range []Form{Signed, "", "later"} {
		value := keys.MintAs(form, claims())
		said, err := keys.Verify(value)
		if err != nil || said != claims() || form.Plain() || form.Fits(value) || IsPlain(value) {
			t.Errorf("%s: %q says %+v %v", form, value, said, err)
		}
	}
}

func TestWhatDoesNotFitAPlainForm(t *testing.T) {
	const digits = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	const id = "0192f0c1-2b3c-4d5e-8f60-718293a4b5c6"
	for _, value := range []string{
		"", "invalid_ticket_123", digits[1:], digits + "0", strings.ToUpper(digits), digits[:63] + "g", digits[:63] + "\n",
		strings.ToUpper(id), "{" + id + "}", strings.ReplaceAll(id, "-", ""), "urn:uuid:" + id, id[:35],
	} {
		if IsPlain(value) {
			t.Errorf("%q fits", value)
		}
	}
	if !IsPlain(digits) || !IsPlain(id) {
		t.Error("what fits does not")
	}
}
