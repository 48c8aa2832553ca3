// Package queryservice is the service that reads counts.
//
// A read goes to the store that decides votes, together with every other read of that ballot that came while the last
// fetch was on its way: it joins only a fetch that has not been sent, so it sees everything acknowledged before it.
//
//	epoch open in Redis      the live counts, under the lease, by a script that checks the epoch
//	epoch open in Postgres   the primary, with the epoch's row in the same statement
//	neither, or store away   the replica, then the primary, as soon as the persister has applied there what was in the log
//	                         when the fetch began: said to be stale, though nothing acknowledged before is missing
//
// A count is said to be exact only if the store said so with it: a script that found its epoch, and a lease that ran
// afterwards, or a row that names Postgres. What this process believes beside that only decides whom it asks first. So a count
// never falls but by votes that are taken back, and never shows 0 because a store was lost.
//
// Whether a viewer may see counts is decided for every read, by the ballot's row and the clock of the store that was read:
// see internal/reading/visible.go. Whether a voter has voted is asked of the store that decides votes; for candidates
// that are hot that is Redis alone.
//
// A fetch waits for a moment until one of the three has the counts, and then fails. A read with a consistency token waits until its
// deadline for a store that has seen the token's vote, too; nobody without that token waits with it.
package queryservice
