// Package system runs the whole system for a test: the services as processes of their own, or `littlevote up`.
//
// Settings are short where a test would have to wait for them: heartbeats of 100 ms, leases of seconds. Everything else is
// as it comes.
package system
