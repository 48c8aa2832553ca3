// Package service is what every process of Little Vote listens and calls with: the RPC port, the admin port, health, metrics, and
// clients to other services.
//
// Invariants:
//   - Every unary call has a deadline, on the client (Dial) and on the server (HandlerOptions), whatever the caller asked for.
//   - Text of an error that nobody chose for the client never leaves the process: it is logged, the client sees "internal".
//   - The end of Run's context turns readiness off first, then stops listening, then waits for calls in flight, at most 8 s.
package service
