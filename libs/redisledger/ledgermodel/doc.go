// Package ledgermodel says in plain Go what the scripts of redisledger do: the same methods with the same results, in
// memory. It is what the scripts are held to, on random sequences of calls, and what a simulation of the vote path runs on.
//
// It is deterministic: no goroutines, no randomness, and the time is whatever the given function says. It is not safe for
// concurrent use. One Ledger is one Redis; Clone is its replica, as far as it has come.
package ledgermodel
