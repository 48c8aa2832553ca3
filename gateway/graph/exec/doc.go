// Package exec executes GraphQL documents on the gateway's schema. Almost all of it is generated; federation.go and
// slice.go hold what is not left to the generator.
package exec
