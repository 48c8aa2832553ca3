// Package reconcile compares the counts of the open epoch, all the time and exactly.
//
// Counts move while they are compared, so each is compared as it was at a cut (H22): one script reads a ballot's tally, its
// last admission number and what stands in its outbox. Whatever was admitted up to that number is in the tally, except for the
// batches of that outbox, and it is in the log or in the ledger. So, once the persister has passed the ends of the log that
// were read after the cut:
//
//	tally = base of the epoch + its ledger up to that number, without the batches of that outbox
//
// Below the first admission number in the outbox everything is final: what was added up that far is kept, and the next round
// adds only what is new.
//
// Nothing is ever repaired in place, since the next settlement would add to it again. If Redis differs, the epoch ends, and the
// next one is loaded from Postgres. If Postgres differs from itself (its counts are not the sum of its ledger), there is
// nothing better to load: people are told, and `littlevote fsck` says which rows are wrong.
//
// One instance at a time does this, the one that holds an advisory lock.
package reconcile
