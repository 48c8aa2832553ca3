// Package httpapi is GraphQL over HTTP, as its specification says, and nothing beside it: queries by GET and POST,
// mutations by POST, application/json and application/graphql-response+json.
//
// Invariants:
//   - Nothing is parsed before its size is known to be within the bound, and nothing of a request that could not be
//     read is repeated to its sender.
//   - A request that a page of another origin can make without asking first (a form, an image, a script) has no effect:
//     a body must be application/json, GET runs queries only, and not for such a page (package origin). No answer allows
//     another origin to read it, but those that the settings name.
//   - A document that is called by its hash is one whose text has that hash. Where there is a list of operations no other is
//     executed, whatever it is called.
//   - Who sends too often is refused before the request is read.
//   - The status speaks of HTTP and of the document, never of the outcome of a field: an executed operation is 200.
package httpapi
