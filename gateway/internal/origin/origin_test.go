package origin

import "testing"

func TestOriginsThatAreNone(t *testing.T) {
	for _, one := range []string{"example.org", "https://example.org/", "https://example.org/path", "*", ""} {
		if _, err := New([]string{one}, false); err == nil {
			t.Errorf("%q is taken for an origin", one)
		}
	}
	if _, err := New([]string{"https://example.org", "http://127.0.0.1:8080"}, true); err != nil {
		t.Error(err)
	}
}
