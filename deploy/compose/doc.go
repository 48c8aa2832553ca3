// Package compose holds the tests of the Compose project beside it.
package compose
