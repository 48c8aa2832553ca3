// Package checker judges a run from outside: it holds what the voters were told against what Postgres has.
//
// Read it only when the system is at rest: every batch out of the outbox, every record applied. Then of each vote it must
// hold that
//
//   - what was acknowledged is in the ledger, once and whole;
//   - what was refused and nothing else is not in it;
//   - what nobody knows is in it whole, or not at all;
//   - nothing else is in it;
//
// and of the whole that the tallies are the sums of the ledger, that every ticket has as many uses as votes, no more than its
// cap, all of them within its window, and that the counts which voters are shown are the same.
package checker
