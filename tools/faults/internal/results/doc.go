// Package results keeps what became of every run, so that a long series can be stopped and goes on where it was, and makes the
// table of it.
package results
