package ballots_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/certified"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	"github.com/littlevote/littlevote/services/vote-service/internal/ballots"
	"github.com/littlevote/littlevote/services/vote-service/internal/town"
)

// world is a town with the service in it.
type world struct {
	*town.Town
	*ballots.Service
	t     *testing.T
	redis *wire
}

func newWorld(t *testing.T) *world {
	t.Helper()
	signer, err := certified.OpenSigner("", true)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Town: town.New(t), t: t}
	w.redis = &wire{Redis: w.Redis}
	w.Service = ballots.New(ballots.Config{
		Pool: w.Pool, Redis: w.redis, Topic: w.Topic, Progress: w.Store, Epochs: w.Town,
		IsName: func(s string) bool { return s != "" && s == strings.TrimSpace(s) }, Signer: signer, Log: slog.New(slog.DiscardHandler),
	})
	return w
}

// wire is the way to Redis. It can be cut.
type wire struct {
	ballots.Redis
	cut    bool
	mute   bool   // takes no counts
	failed func() // called when a call finds it cut
	cuts   atomic.Int64
}

var errCut = errors.New("no answer")

func (w *wire) err() error {
	if !w.cut {
		return nil
	}
	if w.failed != nil {
		w.failed()
	}
	return errCut
}

func (w *wire) LoadNew(
	ctx context.Context, f redisledger.Fence, b redisledger.Ballot, open func(context.Context) error,
) error {
	if err := w.err(); err != nil {
		return err
	}
	return w.Redis.LoadNew(ctx, f, b, open)
}

func (w *wire) PutRules(ctx context.Context, f redisledger.Fence, b redisledger.Ballot) error {
	if err := w.err(); err != nil {
		return err
	}
	return w.Redis.PutRules(ctx, f, b)
}

func (w *wire) Cut(ctx context.Context, f redisledger.Fence, ballot string) (redisledger.Cut, error) {
	if err := w.err(); err != nil {
		return redisledger.Cut{}, err
	}
	defer w.cuts.Add(1)
	return w.Redis.Cut(ctx, f, ballot)
}

func (w *wire) SetCounts(ctx context.Context, f redisledger.Fence, ballot string, admissions int64, counts []redisledger.Count) error {
	if err := w.err(); err != nil {
		return err
	}
	if w.mute {
		return errCut
	}
	return w.Redis.SetCounts(ctx, f, ballot, admissions, counts)
}

// me is who acts where it does not matter.
const me = "cli:test"

func (w *world) create(b *ballotv1.Ballot) *ballotv1.Ballot {
	w.t.Helper()
	made, err := w.CreateBallot(w.t.Context(), &ballotv1.CreateBallotRequest{Ballot: b, Actor: me})
	if err != nil {
		w.t.Fatal(err)
	}
	return made.GetBallot()
}

func (w *world) get(name string) *ballotv1.Ballot {
	w.t.Helper()
	found, err := w.GetBallot(w.t.Context(), &ballotv1.GetBallotRequest{Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return found.GetBallot()
}

func equal(t *testing.T, got, want *ballotv1.Ballot) {
	t.Helper()
	if got.GetCreatedAt() == nil {
		t.Error("it was made at no time")
	}
	if diff := cmp.Diff(want, got, protocmp.Transform(), protocmp.IgnoreFields(want, "created_at")); diff != "" {
		t.Error(diff)
	}
}

// refused checks an error and its detail.
func refused(t *testing.T, err error, code connect.Code, want *statusv1.ErrorDetail) {
	t.Helper()
	if connect.CodeOf(err) != code {
		t.Fatalf("%v, want %v", err, code)
	}
	detail, _ := service.Detail(err)
	if detail != nil {
		detail.RetryAfter = nil
	}
	if diff := cmp.Diff(want, detail, protocmp.Transform()); diff != "" {
		t.Errorf("%v: %s", err, diff)
	}
}

func none(code statusv1.Code) *statusv1.ErrorDetail {
	return &statusv1.ErrorDetail{Code: code, Outcome: statusv1.Outcome_OUTCOME_NONE}
}

var again = &statusv1.ErrorDetail{
	Code: statusv1.Code_CODE_UNAVAILABLE, Outcome: statusv1.Outcome_OUTCOME_UNKNOWN, Retryable: true,
}

func final() *ballotv1.Ballot {
	return &ballotv1.Ballot{
		Name: "final", State: ballotv1.BallotState_BALLOT_STATE_OPEN, Candidates: []string{"Anna", "Bob"}, VotesPerVoter: 3,
		TicketCap: 500, OpensAt: timestamppb.New(time.UnixMilli(1_795_000_000_123)), ClosesAt: timestamppb.New(time.UnixMilli(1_795_000_100_456)),
		Title: "Grand final", TicketInterval: durationpb.New(1500 * time.Millisecond), VoterPeriod: durationpb.New(24 * time.Hour),
		LimitScope: ballotv1.LimitScope_LIMIT_SCOPE_CANDIDATE, Visibility: ballotv1.Visibility_VISIBILITY_AFTER_VOTE,
		HotFor: durationpb.New(720 * time.Hour), Ticketless: true,
	}
}

func TestCreateIsTheSameHoweverOften(t *testing.T) {
	w := newWorld(t)
	equal(t, w.create(final()), final())
	equal(t, w.get("final"), final())
	again := final()
	again.State = ballotv1.BallotState_BALLOT_STATE_DRAFT // it has left that state since
	equal(t, w.create(again), final())
	for name, change := range map[string]func(*ballotv1.Ballot){
		"candidates": func(b *ballotv1.Ballot) { b.Candidates = []string{"Anna"} },
		"any name":   func(b *ballotv1.Ballot) { b.Candidates = nil },
		"limit":      func(b *ballotv1.Ballot) { b.VotesPerVoter = 2 },
		"title":      func(b *ballotv1.Ballot) { b.Title = "" },
		"pattern":    func(b *ballotv1.Ballot) { b.Candidates, b.CandidatePattern = nil, "a+" },
		"ticketless": func(b *ballotv1.Ballot) { b.Ticketless = false },
		"period":     func(b *ballotv1.Ballot) { b.VoterPeriod = nil },
		"scope": func(b *ballotv1.Ballot) {
			b.LimitScope, b.HotFor = ballotv1.LimitScope_LIMIT_SCOPE_BALLOT, nil
		},
		"visibility": func(b *ballotv1.Ballot) { b.Visibility = ballotv1.Visibility_VISIBILITY_NEVER },
		"hot":        func(b *ballotv1.Ballot) { b.HotFor = nil },
		"interval":   func(b *ballotv1.Ballot) { b.TicketInterval = nil },
		"cap":        func(b *ballotv1.Ballot) { b.TicketCap = 501 },
		"default":    func(b *ballotv1.Ballot) { b.TicketCap = 0 },
		"opens":      func(b *ballotv1.Ballot) { b.OpensAt = nil },
		"closes":     func(b *ballotv1.Ballot) { b.ClosesAt = timestamppb.New(time.UnixMilli(1_795_000_100_457)) },
	} {
		other := final()
		change(other)
		_, err := w.CreateBallot(t.Context(), &ballotv1.CreateBallotRequest{Ballot: other, Actor: me})
		if connect.CodeOf(err) != connect.CodeAlreadyExists {
			t.Errorf("%s: %v", name, err)
			continue
		}
		refused(t, err, connect.CodeAlreadyExists, none(statusv1.Code_CODE_ALREADY_EXISTS))
	}
	equal(t, w.get("final"), final())
	// Made once more after it was closed, it stays closed.
	if _, err := w.CloseBallot(t.Context(), &ballotv1.CloseBallotRequest{Name: "final", Actor: me}); err != nil {
		t.Fatal(err)
	}
	closed := final()
	closed.State = ballotv1.BallotState_BALLOT_STATE_CLOSED
	equal(t, w.create(final()), closed)
}

// A ballot without settings of its own has those of main, which follow the configuration.
func TestS19NewBallotsTakeTheSettings(t *testing.T) {
	w := newWorld(t)
	plain := &ballotv1.Ballot{
		Name: "plain", State: ballotv1.BallotState_BALLOT_STATE_OPEN, TicketCap: 1000, TicketInterval: durationpb.New(2 * time.Second),
		LimitScope: ballotv1.LimitScope_LIMIT_SCOPE_BALLOT, Visibility: ballotv1.Visibility_VISIBILITY_ALWAYS,
	}
	equal(t, w.create(&ballotv1.Ballot{Name: "plain"}), plain)
	equal(t, w.create(&ballotv1.Ballot{Name: "plain"}), plain)
	w.Exec("UPDATE ballots SET ticket_cap = NULL, ticket_interval_ms = 700 WHERE ballot = 'main'")
	unlimited := &ballotv1.Ballot{
		Name: "unlimited", State: ballotv1.BallotState_BALLOT_STATE_OPEN, TicketCap: math.MaxInt32,
		TicketInterval: durationpb.New(700 * time.Millisecond),
		LimitScope:     ballotv1.LimitScope_LIMIT_SCOPE_BALLOT, Visibility: ballotv1.Visibility_VISIBILITY_ALWAYS,
	}
	equal(t, w.create(&ballotv1.Ballot{Name: "unlimited"}), unlimited)
	equal(t, w.create(unlimited), unlimited)
}

func TestCreateSaysWhichFieldIsWrong(t *testing.T) {
	w := newWorld(t)
	many := make([]string, 1001)
	for i := range many {
		many[i] = strings.Repeat("x", i+1)
	}
	for field, b := range map[string]*ballotv1.Ballot{
		"ballot":          nil,
		"name":            {Name: "Final"},
		"candidates":      {Name: "x", Candidates: many},
		"candidates[1]":   {Name: "x", Candidates: []string{"A", " A"}},
		"candidates[2]":   {Name: "x", Candidates: []string{"A", "B", "A"}},
		"votes_per_voter": {Name: "x", VotesPerVoter: 101},
		"ticket_cap":      {Name: "x", TicketCap: 1 << 31},
		"opens_at":        {Name: "x", OpensAt: &timestamppb.Timestamp{Seconds: -1}},
		"closes_at": {
			Name: "x", OpensAt: &timestamppb.Timestamp{Seconds: 10}, ClosesAt: &timestamppb.Timestamp{Seconds: 10, Nanos: 999_999},
		},
		"state":             {Name: "x", State: ballotv1.BallotState_BALLOT_STATE_CLOSED},
		"title":             {Name: "x", Title: "a\x00b"},
		"candidate_pattern": {Name: "x", Candidates: []string{"A"}, CandidatePattern: "a"},
		"ticket_interval":   {Name: "x", TicketInterval: durationpb.New(99 * time.Millisecond)},
		"voter_period":      {Name: "x", VotesPerVoter: 1, VoterPeriod: durationpb.New(time.Second)},
		"limit_scope":       {Name: "x", LimitScope: ballotv1.LimitScope_LIMIT_SCOPE_CANDIDATE},
		"visibility":        {Name: "x", Visibility: 99},
		"hot_for":           {Name: "x", VotesPerVoter: 1, HotFor: durationpb.New(time.Hour)},
	} {
		_, err := w.CreateBallot(t.Context(), &ballotv1.CreateBallotRequest{Ballot: b, Actor: me})
		refused(t, err, connect.CodeInvalidArgument, none(statusv1.Code_CODE_INVALID_ARGUMENT))
		if !strings.Contains(err.Error(), field+":") {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, name := range []string{"", "a_b", "main\n", strings.Repeat("a", 65), ".a", "a.", "a.b.c", strings.Repeat("a", 33) + ".b"} {
		_, err1 := w.GetBallot(t.Context(), &ballotv1.GetBallotRequest{Name: name})
		_, err2 := w.CloseBallot(t.Context(), &ballotv1.CloseBallotRequest{Name: name, Actor: me})
		_, err3 := w.CertifyBallot(t.Context(), &ballotv1.CertifyBallotRequest{Name: name, Actor: me})
		for _, err := range []error{err1, err2, err3} {
			refused(t, err, connect.CodeInvalidArgument, none(statusv1.Code_CODE_INVALID_ARGUMENT))
		}
	}
}

func TestUnknownBallot(t *testing.T) {
	w := newWorld(t)
	_, err1 := w.GetBallot(t.Context(), &ballotv1.GetBallotRequest{Name: "none"})
	_, err2 := w.CloseBallot(t.Context(), &ballotv1.CloseBallotRequest{Name: "none", Actor: me})
	_, err3 := w.CertifyBallot(t.Context(), &ballotv1.CertifyBallotRequest{Name: "none", Actor: me})
	for _, err := range []error{err1, err2, err3} {
		refused(t, err, connect.CodeNotFound, none(statusv1.Code_CODE_BALLOT_NOT_FOUND))
	}
}

func TestPostgresAway(t *testing.T) {
	w := newWorld(t)
	w.Pool.Close()
	_, err := w.CreateBallot(t.Context(), &ballotv1.CreateBallotRequest{Ballot: final(), Actor: me})
	refused(t, err, connect.CodeUnavailable, again)
	_, err = w.CloseBallot(t.Context(), &ballotv1.CloseBallotRequest{Name: "main", Actor: me})
	refused(t, err, connect.CodeUnavailable, again)
}
