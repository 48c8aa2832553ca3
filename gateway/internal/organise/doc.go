// Package organise is what organisers do: it makes, changes, closes and certifies ballots, and shows what was done.
//
// Invariants:
//   - Nothing is asked of a service for a caller whose token lacks the scope.
//   - Who acts, and for which tenant, is the token's; the ids of arguments are those of that tenant's ballots.
//   - Every call has its effect once, however often it is repeated, so it is repeated while no replica can be reached.
package organise
