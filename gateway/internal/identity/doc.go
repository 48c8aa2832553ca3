// Package identity finds out who calls: somebody with a JWT of a trusted issuer, somebody with a session of the
// blog-service, or somebody unknown.
//
// Invariants:
//   - What was said and can't be believed is a refusal, never somebody unknown: UNAUTHENTICATED for a wrong token,
//     UNAVAILABLE, and nothing else of the API, while an issuer's keys or the sessions can't be had.
//   - A token is read no further than its length before anything else, and its contents are believed only under a signature
//     of a key of its issuer by an algorithm on the list, which holds none without a signature or with a shared secret.
//   - Keys are fetched from an issuer at most once in a few seconds, whatever tokens come, and by one caller for all.
//   - The tenant is the token's. Who is unknown may name one; who is known may name no other.
//   - A request without credentials costs nothing more.
package identity
