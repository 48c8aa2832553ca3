// Package redisledger is the ledger of an epoch as Redis holds it: tickets, admission, the outbox of batches that are
// not yet settled, and the live tally. Every decision is one Lua script; the Go side only names keys, encodes
// arguments and reads replies. The rules for scripts (libs/PROTOCOL.md) are kept here and nowhere else:
//
//   - Each script but those of a load, and seal, first checks the fence: marker there, loaded, not sealed, of this epoch, on
//     the primary whose replication id the ballot was loaded on. Otherwise it replies WRONG_EPOCH and has no effect. So
//     a failover, a restart, and a slot of a Redis Cluster that moved are one and the same: the ballot's ledger is lost.
//   - All checks come before the first write, since a script's error is not rolled back.
//   - What must go on at the memory limit (all but admission, and loads) begins with a write that Redis never refuses.
//   - The keys of one ballot share a hash tag, so that one script may touch them on a Redis Cluster.
//   - Every key has a TTL, or stands under the epoch's random name, which is unlinked once a later epoch is on.
//
// A single Redis, a Redis Cluster and the master that Sentinels name are all the same to it; package ledgermodel says in
// plain Go what the scripts do.
//
// Scripts are never resent by the client library: what an unanswered call did is for the caller to find out.
package redisledger
