// Package embedded runs the three stores inside or beneath this process, so that one command is enough to vote: Redis
// by miniredis, Kafka by kfake, Postgres by an installed server or a downloaded one. For tests of the ticket lock there is
// etcd as well, by an installed one.
//
// What each promises:
//
//   - Redis lives in memory only. A restart is a Redis that lost its state, which the ledger's epoch change handles.
//     TIME is the wall clock and keys expire by it, within a fraction of a second. It has no replication: INFO
//     replication is an error, inside scripts too, so scripts ask for it by pcall.
//   - Kafka keeps every record that it acknowledged in its data directory, and so survives a kill -9. Topics are never
//     made by naming them.
//   - Postgres keeps every committed transaction in its data directory, and so survives a kill -9 of this process, of
//     the server, or of both. It does not outlive this process: on Linux the kernel stops it, elsewhere the next start
//     on the same directory does.
//
// A data directory belongs to one process at a time; a second one gets an error that wraps filelock.ErrHeld. All
// servers listen on 127.0.0.1 only, on free ports.
//
// Postgres refuses to run as root. For root it runs as the user postgres, or else nobody; package pgcluster says where
// its files are then.
package embedded
