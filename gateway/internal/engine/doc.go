// Package engine turns the text of a GraphQL document into an answer: parse, bound, validate, keep, and execute with
// the generated code.
//
// It stands in for gqlgen's own handler, which parses without bounds, counts complexity in exponential time, and
// answers errors before execution with "data": null.
//
// Invariants:
//   - What a document costs is known before anything walks it more than once, in time linear in its tokens: fragments
//     are counted once each, and a cycle ends the count.
//   - A document that was refused leaves nothing behind; one that passed is kept, within a bound in bytes, and is never
//     written to again, so that requests share it.
//   - Errors of resolvers that are no answer.Refusal are logged, and the client sees the text of an internal error only.
package engine
