// Package votes brings votes to the vote-service, many in one call.
//
// Invariants:
//   - Every vote gets exactly one verdict, also when its caller has long gone away.
//   - A refusal (outcome NONE) is said only where the vote-service said it, or where it is certain that the vote never
//     left this process: it still waited when its caller gave up, the queue was full, or the call was never put on a
//     connection. Everything else without an answer is OUTCOME_UNKNOWN.
//   - A vote without an idempotency key is put on a connection at most once. One with a key may be sent a second time
//     after a call without an answer, within the same deadline: the key makes it one vote.
//   - No call depends on the context of a caller.
package votes
