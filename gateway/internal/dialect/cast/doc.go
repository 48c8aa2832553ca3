// Package cast serves the published GraphQL schema of CAST, so that its clients work as they are.
//
// What its clients rely on:
//   - Every refusal of a vote, shedding included, is data: success false, and empty lists. They give up on GraphQL errors, and
//     on any status but 200.
//   - No current ticket is an empty one, never an error.
//   - validUntil is local time in whole seconds without a zone; it is never later than the end of the ticket.
package cast

//go:generate go tool gqlgen generate --config gqlgen.yml
