// Package verify decides whether the counts say what the voters were told.
//
// The voters keep an account: for each candidate the votes acknowledged, and the votes of unknown outcome. After the
// run each place that counts (the system's own answers, user_votes and the ledger vote_logs in Postgres) must have
// grown, for each candidate, by at least the acknowledged and at most the acknowledged and the unknown together. A lost
// vote is below, a doubled or a wrongly credited one above.
//
// A count on its way up passes through the right value even if it will end above it, so it must be seen there, unchanged,
// for a while before it is believed.
package verify
