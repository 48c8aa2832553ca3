// Package voter is what a connection of the load does: it takes the next request of its operation, sends it, judges the
// answer and enters votes into the account.
//
// Voters of `vote` share one Permit, which holds the newest ticket. It is fetched at the moment the last one expires
// (the system's clock is this machine's), and at once when a voter is told that its ticket is over. Such a voter sends
// nothing more on that ticket but waits for the next one, as a person would. Refusals at each rotation are therefore
// at most one a connection, and they are counted like all others.
package voter
