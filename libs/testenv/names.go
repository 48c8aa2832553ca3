package testenv

import (
	"crypto/rand"
	"os"
	"strings"
	"testing"
)

// Topic is a prefix for the names of this test's topics that no other test has.
func Topic(t testing.TB) string {
	t.Helper()
	return randomName("test-") + "-"
}

// Namespace is a name for this test's keys that no other test has: lower case letters, digits and dashes.
func Namespace(t testing.TB) string {
	t.Helper()
	return randomName("test-")
}

// Dir is an empty directory, removed when the test ends, that Postgres's own account can enter when the test runs as
// root, unlike t.TempDir.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "littlevote-test-")
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, func() error { return os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func randomName(prefix string) string { return prefix + strings.ToLower(rand.Text()) }
