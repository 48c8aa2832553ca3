// Package votes brings votes to the vote-service, many in one call.
//
// Invariants:
//   - Every vote gets exactly one verdict, also when its caller has long gone away.
//   - A refusal (outcome NONE) is said only where the vote-service said it, or where it is certain that the vote never
//     left this process: it still waited when its caller gave up, its queue was full, too slow or stood still, or the call
//     was never put on a connection. Everything else without an answer is OUTCOME_UNKNOWN.
//   - A vote without an idempotency key is never put on a connection again after a call without an answer. One with a key
//     is, once, within the same deadline: the key makes it one vote.
//   - What is tried again inside, after a definite refusal or a broken call, is bounded by a budget for all votes together.
//   - No call depends on the context of a caller, and none that hangs keeps other votes from being sent.
package votes
