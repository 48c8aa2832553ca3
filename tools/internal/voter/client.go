package voter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// patience bounds one request; it is longer than the gateway's own limit.
const patience = 15 * time.Second

// Client speaks GraphQL over HTTP to one gateway. It may be used by many at once.
type Client struct {
	URL    string
	http   *http.Client
	header http.Header // of every request
}

// NewClient returns a client of the gateway at address.
func NewClient(address string) *Client {
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 1000, // a connection for everyone who uses the client at the same time
	}
	return &Client{
		URL: "http://" + address + "/graphql", http: &http.Client{Transport: transport, Timeout: patience},
		header: http.Header{"Content-Type": {"application/json"}},
	}
}

// As is the client for somebody with a token. It is closed with the one that it comes from.
func (c *Client) As(token string) *Client { return c.with("Authorization", "Bearer "+token) }

// In is the client for somebody unknown who means the ballots of a tenant.
func (c *Client) In(tenant string) *Client { return c.with("Littlevote-Tenant", tenant) }

func (c *Client) with(name, value string) *Client {
	header := http.Header{"Content-Type": {"application/json"}}
	header.Set(name, value)
	return &Client{URL: c.URL, http: c.http, header: header}
}

// Close ends the connections that nobody uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Error is what GraphQL says in `errors`: nothing happened.
type Error struct {
	Message string
	Code    string
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%s)", e.Message, e.Code) }

// Code returns the code of an answer's error, "" if err is another one.
func Code(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// Unsent says of an error that the gateway has not got the request.
func Unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// Do sends a document with variables and decodes the data of the answer.
func (c *Client) Do(ctx context.Context, document string, variables map[string]any, data any) error {
	body, err := json.Marshal(map[string]any{"query": document, "variables": variables})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = c.header.Clone()
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	var answer struct {
		Data   json.RawMessage
		Errors []struct {
			Message    string
			Extensions struct{ Code string }
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("%s, and no GraphQL: %.200q", resp.Status, text)
	}
	if len(answer.Errors) > 0 {
		return &Error{Message: answer.Errors[0].Message, Code: answer.Errors[0].Extensions.Code}
	}
	return json.Unmarshal(answer.Data, data)
}

// Ticket is a ticket as getTicket gives it, and as vote wants it back.
type Ticket struct {
	Value           string    `json:"value"`
	Version         string    `json:"version"`
	RemainingUsages int64     `json:"remainingUsages"`
	ExpiresAt       time.Time `json:"expiresAt"`
	CreatedAt       time.Time `json:"createdAt"`
}

// Count is a candidate's count.
type Count struct {
	Ballot    string
	Username  string
	Votes     int64
	UpdatedAt string
	Stale     bool
}

// Answer is the answer to a vote.
type Answer struct {
	Success   bool
	Message   string
	Usernames []string
	Timestamp time.Time
	Code      string
	Outcome   string
	Retryable bool
	VoteID    string
	Token     string
	Totals    []Count
}

const (
	countFields  = `{ballot username votes updatedAt stale}`
	answerFields = `{success message usernames timestamp code outcome retryable voteId token totals` + countFields + `}`
)

// GetTicket fetches the newest ticket of a ballot.
func (c *Client) GetTicket(ctx context.Context, ballot string) (Ticket, error) {
	var data struct{ GetTicket Ticket }
	err := c.Do(ctx, `query($ballot:ID!){getTicket(ballot:$ballot){value version remainingUsages expiresAt createdAt}}`,
		map[string]any{"ballot": ballot}, &data)
	return data.GetTicket, err
}

// GetUserVotes reads one count.
func (c *Client) GetUserVotes(ctx context.Context, ballot, name string) (Count, error) {
	var data struct{ GetUserVotes Count }
	err := c.Do(ctx, `query($ballot:ID!,$name:String!){getUserVotes(username:$name,ballot:$ballot)`+countFields+`}`,
		map[string]any{"ballot": ballot, "name": name}, &data)
	return data.GetUserVotes, err
}

// GetUserVotesAtLeast reads one count that is not older than a token.
func (c *Client) GetUserVotesAtLeast(ctx context.Context, ballot, name, token string) (Count, error) {
	var data struct{ GetUserVotes Count }
	err := c.Do(ctx, `query($ballot:ID!,$name:String!,$token:String!){
		getUserVotes(username:$name,ballot:$ballot,atLeast:$token)`+countFields+`}`,
		map[string]any{"ballot": ballot, "name": name, "token": token}, &data)
	return data.GetUserVotes, err
}

// GetAllUserVotes reads all counts of a ballot.
func (c *Client) GetAllUserVotes(ctx context.Context, ballot string) ([]Count, error) {
	var data struct{ GetAllUserVotes []Count }
	err := c.Do(ctx, `query($ballot:ID!){getAllUserVotes(ballot:$ballot)`+countFields+`}`,
		map[string]any{"ballot": ballot}, &data)
	return data.GetAllUserVotes, err
}

// vote votes with a ticket. key may be empty.
func (c *Client) vote(ctx context.Context, ballot string, ticket Ticket, key string, names []string) (Answer, error) {
	input := map[string]any{"usernames": names, "ticket": ticket, "ballot": ballot}
	if key != "" {
		input["idempotencyKey"] = key
	}
	var data struct{ Vote Answer }
	err := c.Do(ctx, `mutation($input:VoteInput!){vote(input:$input)`+answerFields+`}`, map[string]any{"input": input}, &data)
	return data.Vote, err
}

// ticketAndVote votes with the newest ticket. key may be empty.
func (c *Client) ticketAndVote(ctx context.Context, ballot, key string, names []string) (Answer, error) {
	variables := map[string]any{"names": names, "ballot": ballot}
	if key != "" {
		variables["key"] = key
	}
	var data struct{ TicketAndVote Answer }
	err := c.Do(ctx, `mutation($names:[String!]!,$ballot:ID!,$key:String){
		ticketAndVote(usernames:$names,ballot:$ballot,idempotencyKey:$key)`+answerFields+`}`, variables, &data)
	return data.TicketAndVote, err
}

// TicketAndVote votes with the newest ticket under a key.
func (c *Client) TicketAndVote(ctx context.Context, ballot, key string, names ...string) (Answer, error) {
	return c.ticketAndVote(ctx, ballot, key, names)
}

// RetractVote takes a vote of the caller back, under a key.
func (c *Client) RetractVote(ctx context.Context, ballot, key, vote string) (Answer, error) {
	var data struct{ RetractVote Answer }
	err := c.Do(ctx, `mutation($id:ID!,$ballot:ID!,$key:String){
		retractVote(id:$id,ballot:$ballot,idempotencyKey:$key)`+answerFields+`}`,
		map[string]any{"id": vote, "ballot": ballot, "key": key}, &data)
	return data.RetractVote, err
}

// ChangeVote puts a vote in the place of another one of the caller, under a key, with the newest ticket.
func (c *Client) ChangeVote(ctx context.Context, ballot, key, vote string, names ...string) (Answer, error) {
	var data struct{ ChangeVote Answer }
	err := c.Do(ctx, `mutation($id:ID!,$names:[String!]!,$ballot:ID!,$key:String){
		changeVote(id:$id,usernames:$names,ballot:$ballot,idempotencyKey:$key)`+answerFields+`}`,
		map[string]any{"id": vote, "names": names, "ballot": ballot, "key": key}, &data)
	return data.ChangeVote, err
}
