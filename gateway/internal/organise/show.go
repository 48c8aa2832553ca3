package organise

import (
	"context"
	"strconv"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/reads"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
)

// List returns a page of the tenant's ballots, by id.
func (o *Organiser) List(ctx context.Context, page reads.Page) (*model.BallotPage, error) {
	who, err := allowed(ctx)
	if err != nil {
		return nil, err
	}
	request := &ballotv1.ListBallotsRequest{Tenant: string(who.Tenant), PageSize: page.First}
	if page.After != "" {
		after, ok := who.Tenant.Ballot(&page.After)
		if !ok {
			return nil, answer.NotValid(answer.CursorFormat)
		}
		request.After = after.Full()
	}
	found, err := call(ctx, o, func(ctx context.Context) (*ballotv1.ListBallotsResponse, error) {
		return o.client.ListBallots(ctx, request)
	})
	if err != nil {
		return nil, err
	}
	list := &model.BallotPage{Entries: make([]*model.Ballot, len(found.GetBallots()))}
	for i, ballot := range found.GetBallots() {
		if _, err := own(who, ballot.GetName()); err != nil {
			return nil, err
		}
		if list.Entries[i], err = reads.NewBallot(ballot); err != nil {
			return nil, err
		}
	}
	if last := len(list.Entries) - 1; found.GetMore() && last >= 0 {
		list.Next = &list.Entries[last].ID
	}
	return list, nil
}

// Audit returns a page of what was done to one of the tenant's ballots, or all of them, newest first.
func (o *Organiser) Audit(ctx context.Context, id *string, page reads.Page) (*model.AuditPage, error) {
	who, err := allowed(ctx)
	if err != nil {
		return nil, err
	}
	request := &ballotv1.ListAuditRequest{Tenant: string(who.Tenant), PageSize: page.First}
	if id != nil {
		ballot, ok := who.Tenant.Ballot(id)
		if !ok {
			return nil, answer.NotValid(answer.BallotFormat)
		}
		request.Ballot = ballot.Full()
	}
	if page.After != "" {
		if request.Before, err = strconv.ParseInt(page.After, 10, 64); err != nil || request.GetBefore() < 1 {
			return nil, answer.NotValid(answer.CursorFormat)
		}
	}
	found, err := call(ctx, o, func(ctx context.Context) (*ballotv1.ListAuditResponse, error) {
		return o.client.ListAudit(ctx, request)
	})
	if err != nil {
		return nil, err
	}
	log := &model.AuditPage{Entries: make([]*model.AuditEntry, len(found.GetEntries()))}
	for i, entry := range found.GetEntries() {
		ballot, err := own(who, entry.GetBallot())
		if err != nil {
			return nil, err
		}
		log.Entries[i] = &model.AuditEntry{
			ID: strconv.FormatInt(entry.GetId(), 10), At: reads.FormatTime(entry.GetAt().AsTime()), Actor: entry.GetActor(),
			Action: entry.GetAction(), Ballot: ballot, Details: entry.GetDetails(),
		}
	}
	if last := len(log.Entries) - 1; found.GetMore() && last >= 0 {
		log.Next = &log.Entries[last].ID
	}
	return log, nil
}
