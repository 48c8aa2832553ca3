// Package lock decides which replica mints: the producer lock, `ticket:producer:lock`.
//
// The lock saves work, it does not guard the tickets: minting is one idempotent script, so a second minter changes
// nothing. That is why the lock may stand in the very Redis that the tickets stand in.
//
// What is promised of a Hold:
//   - It is valid only until a moment that was counted, on this process's monotonic clock, from before the request
//     that took or renewed the lock was sent. A process that was frozen finds its hold over when it wakes, whatever
//     the store says later.
//   - Its fencing number is greater than that of every hold before it. (In Redis the counter stands beside the lock
//     and may be lost with it; the minter then goes on from the number in the newest ticket.)
//   - The lock is renewed three times within its life. When the holder dies, the others, which try ten times within a
//     lock's life, take it over within one life (etcd: and half a second, since that is how often it looks for leases
//     that have run out); when the holder stops cleanly, at their next try.
package lock
