package testenv

import (
	"crypto/rand"
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

func randomName(prefix string) string { return prefix + strings.ToLower(rand.Text()) }
