// Package tiny serves the published GraphQL schema of Tiny Vote, so that its clients work as they are.
//
// Its votes waited for a lock, by turns of 100 ms, for a second at most. Ours wait for nothing but a place in the queue, by the
// same turns: who finds none within the second is told in the same words.
package tiny

//go:generate go tool gqlgen generate --config gqlgen.yml
