// Package model holds the Go types behind the GraphQL types. Fields that clients see are plain struct fields, or
// methods without I/O, so that reading one costs no goroutine.
package model

import (
	"fmt"
	"math"
	"strconv"
)

// UserVote is a candidate's count.
type UserVote struct {
	Ballot    string
	Username  string
	Count     int64
	UpdatedAt string
	Stale     bool
	AsOf      string
}

// Votes is the count as a GraphQL Int, which has 32 bits.
func (u *UserVote) Votes() (int32, error) { return asInt(u.Username, u.Count) }

// VotesExact is the count in decimal digits.
func (u *UserVote) VotesExact() string { return strconv.FormatInt(u.Count, 10) }

// VoteChoice is what a vote adds to one candidate's count.
type VoteChoice struct {
	Username string
	Count    int64
}

// Votes is the count as a GraphQL Int, which has 32 bits.
func (c *VoteChoice) Votes() (int32, error) { return asInt(c.Username, c.Count) }

// VotesExact is the count in decimal digits.
func (c *VoteChoice) VotesExact() string { return strconv.FormatInt(c.Count, 10) }

// VoteStatus is what became of a vote.
type VoteStatus struct {
	ID              string
	Ballot          string
	State           VoteState
	AdmittedAt      *string
	AdmissionNumber *string
	Choices         []*VoteChoice
}

func asInt(username string, count int64) (int32, error) {
	if count > math.MaxInt32 || count < math.MinInt32 {
		return 0, &CountOverflowError{Username: username, Count: count}
	}
	return int32(count), nil
}

// CountOverflowError says that a count has no place in a GraphQL Int.
type CountOverflowError struct {
	Username string
	Count    int64
}

func (e *CountOverflowError) Error() string {
	return fmt.Sprintf("the count of %q, %d, is over 2147483647: ask for votesExact", e.Username, e.Count)
}

// Ticket is a permit to vote.
type Ticket struct {
	Value           string
	Version         string
	RemainingUsages int32
	ExpiresAt       string
	CreatedAt       string
}

// VoteResponse is the answer to a vote.
type VoteResponse struct {
	Success      bool
	Message      string
	Usernames    []string
	Timestamp    string
	Code         string
	Outcome      Outcome
	Retryable    bool
	RetryAfterMs *int32
	VoteID       *string
	Token        *string
	Totals       []*UserVote
}

// TallyUpdate is how a ballot stands, or what of it has changed.
type TallyUpdate struct {
	Ballot   string
	Number   int64
	Snapshot bool
	Counts   []*UserVote
	AsOf     string
	Stale    bool
}

// Seq is the number in decimal digits: it has more than a GraphQL Int can hold.
func (u *TallyUpdate) Seq() string { return strconv.FormatInt(u.Number, 10) }
