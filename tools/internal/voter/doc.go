// Package voter is a client of the GraphQL API, and a voter who writes down what happened to each vote.
package voter
