// Package spans shows in traces what the gateway does: a span for each request, and what became of votes, likes and reads. The calls
// that carry those of many requests have spans by tracing.Batch.
//
// Invariants:
//   - A request that is not sampled costs nothing beyond the decision, and none of it where there are no traces at all.
//   - What clients send is never in a span: no values, no literals, no text of an error, no tracestate; names of operations are
//     bounded.
//   - A client may ask to be traced. How many are, because they ask, is bounded.
package spans
