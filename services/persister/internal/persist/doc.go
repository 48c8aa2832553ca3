// Package persist moves what stands in the vote topic into the ledger.
//
// Three goroutines work while a session, one membership in the consumer group, lasts:
//
//	gather   polls, decodes, and queues what it has read: bounded in bytes, never waiting for a transaction
//	apply    takes all that is queued, up to a bound, and applies it in one transaction at a time, with the offsets
//	watch    every heartbeat: renews this persister's row, asks for the ends of the partitions, and records which of
//	         its own are caught up
//
// Invariants:
//
//   - Where a partition goes on stands in Postgres, and moves with the effect of its records. What Kafka has for the
//     group is written for people to look at, and never read.
//   - A record is passed only in a committed transaction: with its effect, as a duplicate, as one whose time is over, or
//     once it stands in the dead-letter topic. Nothing else moves an offset, and no error skips a record.
//   - A record that was polled under an earlier ownership of its partition is dropped: each ownership is a *part of its
//     own, and an item points to the one it was polled under.
//   - Ownership ends between two attempts of a transaction, never within one: whoever owns the partition next reads
//     offsets that nobody is about to move. Where that fails (a frozen process, a slow network) the compare-and-set
//     finds out.
//
// What goes wrong, and what is done:
//
//	Postgres or Kafka away          tried again for ever, with growing pauses; from the third failure on an incident
//	a foreign record                into the dead-letter topic, and on
//	ours, and can't be applied      its partition halts, with an alarm; the others go on
//	offset out of range             the same: records are gone that nobody has read
//	another process moved an offset a new session, which goes on where the ledger stands
//	a failover of Postgres lost     the same: the offsets went back together with what they stand for, so it is read again
//	  commits
//	the dead-letter topic away      the partitions with dead letters wait, the others go on
//	Postgres restored from a        the log is applied again, but for what it says had no effect: an epoch that was over then
//	  backup                        may be open again
//	the topic was made anew         no session until a person has decided; its records might be the old ones again
package persist
