// Package graph holds the gateway's GraphQL schema and what is generated from it.
//
// schema/ is what clients and federation routers see; machinery.graphqls defines what a subgraph's schema takes for
// granted: the federation directives, _entities and _service.
package graph

//go:generate go tool gqlgen generate --config gqlgen.yml
//go:generate sed -i s/graphql.MarshalSliceConcurrently(/marshalSlice(/ exec/generated.go
//go:generate sed -i -E "s/^func \\(ec \\*executionContext\\) _(UserVote|Ticket|VoteResponse)\\(/func (ec *executionContext) generated_\\1(/" exec/generated.go
//go:generate sed -i -E "s/^func \\(ec \\*executionContext\\) unmarshalInput(VoteInput|TicketInput)\\(/func (ec *executionContext) generated_unmarshalInput\\1(/" exec/generated.go

// What reads inputs is in the generated code, where it is needed; a table of it, made anew for each request, is not.
//go:generate sed -i -E "/inputUnmarshalMap := graphql.BuildUnmarshalerMap\\(/,/^\t\\)/d; /graphql.WithUnmarshalerMap\\(/d" exec/generated.go
