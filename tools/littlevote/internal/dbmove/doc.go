// Package dbmove is `littlevote dbmove`: it moves the ledger to another Postgres, or to a database that speaks its
// protocol, while votes go on.
//
// What the log carries comes over the log: a second persister group applies it to the target. What does not, this package
// carries: batches that a vote-service wrote to Postgres itself while Kafka or Redis was away, the row of the epoch, ballots,
// tickets, audit. A batch has its effect once by its id, whichever way it comes.
//
// While it is a copy, the target's row of the epoch says "moving": nobody decides votes there, whoever is pointed at it by
// mistake; and the server says that it is read-only, so that services whose URL names both hosts keep to the source. The row follows the source's only when every batch of the epochs before is there, since a batch whose epoch is
// over would have no effect.
//
// The switch makes the source read-only for good, so two ledgers never take votes at the same time, and services with both
// hosts in their URL find the target as they find a promoted replica. Participants of the source keep their leases, which the
// target knows.
package dbmove
