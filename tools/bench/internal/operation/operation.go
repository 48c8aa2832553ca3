package operation

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/littlevote/littlevote/tools/bench/internal/wire"
)

// Operation is one of the four, by its GraphQL name.
type Operation string

// The operations, in the order in which they are run.
const (
	GetTicket     Operation = "getTicket"
	GetUserVotes  Operation = "getUserVotes"
	Vote          Operation = "vote"
	TicketAndVote Operation = "ticketAndVote"
)

// Candidates is how many there are on ballot main: A to Z.
const Candidates = 26

const (
	getTicketDocument     = `query getTicket { getTicket { value version remainingUsages expiresAt createdAt } }`
	getUserVotesDocument  = `query getUserVotes($username: String!) { getUserVotes(username: $username) { username votes updatedAt } }`
	voteDocument          = `mutation vote($input: VoteInput!) { vote(input: $input) { success message usernames timestamp code outcome } }`
	ticketAndVoteDocument = `mutation ticketAndVote($usernames: [String!]!) { ticketAndVote(usernames: $usernames) { success message usernames timestamp code outcome } }`
	allUserVotesDocument  = `query getAllUserVotes { getAllUserVotes { username votesExact stale } }`
)

// All gives the operations in order.
func All() []Operation { return []Operation{GetTicket, GetUserVotes, Vote, TicketAndVote} }

// Parse reads a list of operations; each may stand in it once.
func Parse(names []string) ([]Operation, error) {
	known := map[Operation]bool{}
	for _, operation := range All() {
		known[operation] = true
	}
	var operations []Operation
	for _, name := range names {
		operation := Operation(strings.TrimSpace(name))
		if !known[operation] {
			return nil, fmt.Errorf("%q is not an operation, or stands there twice: choose from %v", name, All())
		}
		known[operation] = false
		operations = append(operations, operation)
	}
	if len(operations) == 0 {
		return nil, fmt.Errorf("no operation: choose from %v", All())
	}
	return operations, nil
}

// Writes tells whether a success counts votes.
func (o Operation) Writes() bool { return o == Vote || o == TicketAndVote }

// Ticket is a ticket as getTicket gives it and vote wants it back.
type Ticket struct {
	Value           string `json:"value"`
	Version         string `json:"version"`
	RemainingUsages int    `json:"remainingUsages"`
	ExpiresAt       string `json:"expiresAt"`
	CreatedAt       string `json:"createdAt"`
}

// Names gives the candidates of variant v: so many letters in a row, beginning with the v-th.
func Names(v, names int) []string {
	list := make([]string, names)
	for i := range list {
		list[i] = string(rune('A' + (v+i)%Candidates))
	}
	return list
}

// Requests encodes the requests of an operation that needs no ticket, one for each of the 26 variants (getTicket has
// one only).
func Requests(target wire.Target, operation Operation, names int) [][]byte {
	switch operation {
	case GetTicket:
		return [][]byte{encode(target, getTicketDocument, nil)}
	case GetUserVotes:
		return variants(func(v int) []byte {
			return encode(target, getUserVotesDocument, map[string]any{"username": Names(v, 1)[0]})
		})
	default:
		return variants(func(v int) []byte {
			return encode(target, ticketAndVoteDocument, map[string]any{"usernames": Names(v, names)})
		})
	}
}

// VoteRequests encodes the 26 variants of vote with a ticket.
func VoteRequests(target wire.Target, ticket Ticket, names int) [][]byte {
	return variants(func(v int) []byte {
		return encode(target, voteDocument, map[string]any{
			"input": map[string]any{"usernames": Names(v, names), "ticket": ticket},
		})
	})
}

// CountsRequest encodes the read of all counts.
func CountsRequest(target wire.Target) []byte { return encode(target, allUserVotesDocument, nil) }

func variants(one func(v int) []byte) [][]byte {
	all := make([][]byte, Candidates)
	for v := range all {
		all[v] = one(v)
	}
	return all
}

func encode(target wire.Target, document string, variables map[string]any) []byte {
	type request struct {
		Query     string         `json:"query"`
		Variables map[string]any `json:"variables,omitempty"`
	}
	// Strings, numbers and lists of them: there is nothing that can't be encoded.
	body, _ := json.Marshal(request{Query: document, Variables: variables})
	return target.Post(body)
}
