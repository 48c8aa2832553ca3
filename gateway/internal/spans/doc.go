// Package spans shows in traces what the gateway does: a span for each request, and one for each call that carries the work of
// many requests, linked with theirs in both directions.
//
// Invariants:
//   - A request that is not sampled costs nothing beyond the decision, and none of it where there are no traces at all.
//   - What clients send is never in a span: no values, no literals, no text of an error, no tracestate; names of operations are
//     bounded.
//   - A client may ask to be traced. How many are, because they ask, is bounded.
package spans
