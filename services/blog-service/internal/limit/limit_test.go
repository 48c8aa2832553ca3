package limit

import "testing"

func TestWhoStandsBehindAnAddress(t *testing.T) {
	for text, want := range map[string]string{
		"":                  "",
		"192.0.2.1":         "192.0.2.1",
		"::ffff:192.0.2.1":  "192.0.2.1",
		"2001:db8:1:2:3::4": "2001:db8:1:2::/64",
		"2001:db8:1:2::9":   "2001:db8:1:2::/64",
		"fe80::1%eth0":      "fe80::/64",
		"fe80::1%eth1":      "fe80::/64",
		"2001:db8:1:3::4":   "2001:db8:1:3::/64",
	} {
		if got, err := Address(text); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"host", "192.0.2.1:80", "192.0.2", "[::1]", "1.2.3.4, 5.6.7.8", "192.0.2.1/8", " 192.0.2.1"} {
		if got, err := Address(text); err == nil {
			t.Errorf("%q is %q", text, got)
		}
	}
}
