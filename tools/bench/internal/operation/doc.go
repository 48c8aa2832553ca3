// Package operation knows the four GraphQL operations that the benchmark sends: their documents, the requests encoded
// before they are needed, and what an answer means.
//
// The document of an operation never changes, the values travel as variables: so a server parses four documents in all.
// An answer is judged by a search for a few bytes; only what that does not settle is decoded.
package operation
