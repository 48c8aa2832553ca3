// Package gateway is where clients vote: GraphQL over HTTP on the outside, gRPC to the ticket-, vote- and query-service
// on the inside. It keeps no state, so any number of gateways serve one system.
//
// The way of a request: httpapi reads it and bounds its size, engine bounds, validates and executes the document,
// resolver checks arguments, and votes and reads gather what came at the same moment into one call.
//
// Invariants:
//   - A vote's answer is one of three: counted, definitely refused, or unknown; see package votes.
//   - The gateway decides nothing that a ledger decides: it refuses only what no ledger would admit.
//   - Everything that waits is bounded, in number and in time; what can't be served in time is refused at once, and says
//     when to come back; see package overload. Probes are always answered.
//   - When told to stop it becomes not ready, closes each connection after its answer, takes no more connections, answers
//     what it has taken, then stops.
package gateway
