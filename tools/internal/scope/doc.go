// Package scope is what owns the processes and connections of a test, or of one run of a fault: it ends them when it ends, in
// whatever way that is.
//
// It lets the same code start a system for a test and for a program. A program has no testing.TB; Start gives it the same
// rules: the function runs in a goroutine of its own, Fatal ends it, and then everything is cleaned up, the last first.
package scope
