// Package pgledger is the ledger in Postgres: the transaction that gives a batch its effect, what reads need, and the
// upkeep of the tables.
//
// Invariants:
//
//   - A batch takes effect at most once, whoever applies it and from wherever it comes: its id is inserted into
//     applied_batches in the transaction of its effect.
//   - A batch takes effect only in its own epoch and only while its ballot is not certified. Both rows are locked against
//     change until COMMIT, so what a change of epoch or a certification sees is final.
//   - An offset moves in the transaction of the effect of the records before it, by compare-and-set. Two owners of one
//     partition can't both commit.
//   - In every committed state user_votes is the sum of vote_logs, and tickets.used counts the votes of vote_logs.
//   - Rows that many transactions touch are locked last and in one order: batch ids, keys, voters, tallies, tickets, offsets, each
//     sorted. A deadlock that happens nevertheless is retried here.
//
// A row of vote_logs with retracts takes something back: what a retraction's, a change's or a void's row adds to that vote. All
// other rows give, also those of a change. A void's row has the vote's own id in vote_id and in retracts, the void in void_id, the
// vote's voter_id, no ticket version, the id of a batch of its own (a fresh UUIDv7 in applied_batches), the number of the open epoch, and as
// admission the ballot's next number, one for the whole void: a cut that was read before the counts in Redis were set does not
// reach it, and Redis gets that number together with the counts. voter_votes says retracted, and user_votes follows.
//
// What the caller of Apply learns from an error:
//
//	CommitUnknown(err)   COMMIT was sent and not answered: the batches may have their effect, or get it in a moment
//	any other error      nothing was committed, and nothing of this call will be
//
// Only a primary may be given to Apply, Lookup and BatchApplied: a replica is behind.
package pgledger
