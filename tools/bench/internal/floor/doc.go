// Package floor is what a figure of the benchmark is held against: a bare gqlgen server with the gateway's own schema
// and constant answers. It does what any GraphQL server in Go must do (net/http, parse once and keep the document,
// decode variables, run the generated code, write the answer) and nothing else: no middleware, no limits, no stores.
//
// The generated code is in generated; `go generate` in this folder makes it again from the gateway's schema files.
package floor

//go:generate go tool gqlgen generate
