// Package likes turns likes into votes: a like is a vote of a voter for an item on the tenant's ballot of likes, which takes
// one for each voter and item; an unlike retracts it. There is no second way of a vote and no second count.
//
// Invariants:
//   - Every change gets one verdict, and a refusal (outcome NONE) is said only where the vote-service said it, or where the
//     change never left this process. Everything else without an answer is OUTCOME_UNKNOWN.
//   - A change that is refused here, by a limit or for its item, has asked nobody to change anything.
//   - The limits are those of all processes together, in Redis. While Redis does not answer each process keeps them by itself:
//     likes go on, and somebody who sends too fast gets at most the limit once a process.
//   - The ballot of likes is made by a tenant's first like, never by a read.
package likes
