// Package e2e holds the tests of the whole system: every service as a process of its own, two of each, or all of them in
// one `littlevote up`; voters who speak GraphQL; kill -9 in the middle; and a checker that knows only what the voters were
// told and what Postgres has.
//
// The stores are those of libs/testenv: embedded ones, or the real ones that the environment names.
package e2e
