package pgledger

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"
)

// What organisers do.
const (
	ActionCreate      = "create"
	ActionUpdate      = "update"
	ActionClose       = "close"
	ActionCertify     = "certify"
	ActionProposeVoid = "propose-void"
	ActionApproveVoid = "approve-void"
)

// Deed is who does what.
type Deed struct {
	Actor  string
	Action string
}

// AuditEntry is a deed that had an effect.
type AuditEntry struct {
	ID int64 // later ones have higher ones
	At time.Time
	Deed

	Ballot  string
	Details json.RawMessage // what changed, an object
}

// record writes a deed down, in the transaction of its effect.
func (d Deed) record(ctx context.Context, tx pgx.Tx, ballot string, details any) error {
	_, err := tx.Exec(ctx, "INSERT INTO audit (actor, action, ballot, details) VALUES ($1, $2, $3, $4)", d.Actor, d.Action, ballot, details)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// ofTenant is the condition that a ballot is the tenant's in $1; empty stands for the default one, whose names have no dot.
const ofTenant = "CASE WHEN $1 = '' THEN ballot NOT LIKE '%.%' ELSE ballot LIKE $1 || '.%' END"

// ListAudit returns a page of what was done to a tenant's ballots, or to the one that is named, newest first: entries with an
// id below before, or the newest if that is 0.
func ListAudit(ctx context.Context, db DB, tenant, ballot string, before int64, limit int) ([]AuditEntry, error) {
	rows, err := db.Query(ctx, `
		SELECT id, at, actor, action, ballot, details FROM audit
		WHERE `+ofTenant+` AND ($2 = '' OR ballot = $2) AND ($3::bigint = 0 OR id < $3)
		ORDER BY id DESC LIMIT $4`, tenant, ballot, before, limit)
	if err != nil {
		return nil, fmt.Errorf("read the audit: %w", err)
	}
	entries, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (AuditEntry, error) {
		var e AuditEntry
		err := row.Scan(&e.ID, &e.At, &e.Actor, &e.Action, &e.Ballot, &e.Details)
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the audit: %w", err)
	}
	return entries, nil
}

// facts are what organisers say of a ballot, as the audit holds it.
func (b *Ballot) facts() map[string]any {
	facts := map[string]any{"state": b.State, "visibility": b.Visibility, "ticket_interval": b.TicketInterval.String()}
	give := func(name string, given bool, value any) {
		if given {
			facts[name] = value
		}
	}
	moment := func(name string, at *time.Time) {
		if at != nil {
			facts[name] = at.UTC().Format(time.RFC3339Nano)
		}
	}
	give("title", b.Title != "", b.Title)
	give("candidates", b.Candidates != nil, b.Candidates)
	give("candidate_pattern", b.CandidatePattern != "", b.CandidatePattern)
	if b.TicketCap != nil {
		facts["ticket_cap"] = *b.TicketCap
	}
	give("ticketless", b.Ticketless, true)
	moment("opens_at", b.OpensAt)
	moment("closes_at", b.ClosesAt)
	give("votes_per_voter", b.VotesPerVoter != 0, b.VotesPerVoter)
	give("voter_period", b.VoterPeriod != 0, b.VoterPeriod.String())
	give("per_candidate", b.PerCandidate, true)
	give("hot_for", b.HotFor != 0, b.HotFor.String())
	return facts
}

// differenceOf says what of a ballot is not as it was, each with what it was and what it is; empty if all is.
func differenceOf(before, after *Ballot) map[string]any {
	was, is := before.facts(), after.facts()
	changed := map[string]any{}
	for field := range was {
		if !reflect.DeepEqual(was[field], is[field]) {
			changed[field] = map[string]any{"from": was[field], "to": is[field]}
		}
	}
	for field := range is {
		if _, known := was[field]; !known {
			changed[field] = map[string]any{"from": nil, "to": is[field]}
		}
	}
	return changed
}
