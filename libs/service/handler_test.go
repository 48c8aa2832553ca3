package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/littlevote/littlevote/libs/config"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	"github.com/littlevote/littlevote/proto/gen/littlevote/query/v1/queryv1connect"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

func overloaded() *statusv1.ErrorDetail {
	return &statusv1.ErrorDetail{
		Code: statusv1.Code_CODE_OVERLOADED, Outcome: statusv1.Outcome_OUTCOME_NONE, Retryable: true,
		RetryAfter: durationpb.New(50 * time.Millisecond),
	}
}

// TestErrorsOverTheWire lets a handler fail and looks at what a gRPC and a Connect client see.
func TestErrorsOverTheWire(t *testing.T) {
	internal := &statusv1.ErrorDetail{Code: statusv1.Code_CODE_INTERNAL, Outcome: statusv1.Outcome_OUTCOME_NONE}
	wire := connect.NewWireError(connect.CodeNotFound, errors.New("hush"))
	tests := map[string]struct {
		err    error // nil for a panic
		code   connect.Code
		text   string
		detail *statusv1.ErrorDetail // nil for none
		logged string                // "" for nothing
	}{
		"meant for the client": {Error(connect.CodeResourceExhausted, overloaded(), "queue of %d is full", 5), connect.CodeResourceExhausted, "queue of 5 is full", overloaded(), ""},
		"meant, wrapped":       {fmt.Errorf("hush: %w", Error(connect.CodeUnavailable, overloaded(), "later")), connect.CodeUnavailable, "later", overloaded(), ""},
		"plain":                {errors.New("hush"), connect.CodeInternal, "internal", internal, "error=hush"},
		"internal with detail": {Error(connect.CodeInternal, overloaded(), "hush"), connect.CodeInternal, "internal", overloaded(), "hush"},
		"unknown":              {connect.NewError(connect.CodeUnknown, errors.New("hush")), connect.CodeInternal, "internal", internal, "hush"},
		"of another service":   {fmt.Errorf("call: %w", status.Error(codes.NotFound, "hush")), connect.CodeInternal, "internal", internal, "hush"},
		"of another, Connect":  {wire, connect.CodeInternal, "internal", internal, "hush"},
		"deadline":             {fmt.Errorf("hush: %w", context.DeadlineExceeded), connect.CodeDeadlineExceeded, "deadline exceeded", nil, ""},
		"canceled":             {fmt.Errorf("hush: %w", context.Canceled), connect.CodeCanceled, "canceled", nil, ""},
		"panic":                {nil, connect.CodeInternal, "internal", internal, "handler_test.go"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server := start(t, fake{read: func(context.Context, *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
				if test.err == nil {
					panic("hush")
				}
				return nil, test.err
			}}, config.TLS{})
			_, err := dial(t, server.Addr(), config.TLS{}).GetTallies(t.Context(), &queryv1.GetTalliesRequest{})
			seen := status.Convert(err)
			if connect.Code(seen.Code()) != test.code || seen.Message() != test.text {
				t.Errorf("gRPC client sees %v %q, want %v %q", seen.Code(), seen.Message(), test.code, test.text)
			}
			wantDetail(t, err, test.detail)
			_, err = queryv1connect.NewQueryServiceClient(httpClient(t, false, config.TLS{}), "http://"+server.Addr()).
				GetTallies(t.Context(), &queryv1.GetTalliesRequest{})
			var connected *connect.Error
			if !errors.As(err, &connected) || connected.Code() != test.code || connected.Message() != test.text {
				t.Errorf("Connect client sees %v, want %v %q", err, test.code, test.text)
			}
			wantDetail(t, err, test.detail)
			if logged := server.log.String(); (test.logged == "") != (logged == "") || !strings.Contains(logged, test.logged) {
				t.Errorf("log %q, want %q in it", logged, test.logged)
			}
		})
	}
}

func wantDetail(t *testing.T, err error, want *statusv1.ErrorDetail) {
	t.Helper()
	got, ok := Detail(fmt.Errorf("wrapped: %w", err))
	if ok != (want != nil) {
		t.Errorf("detail found: %v in %v", ok, err)
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func TestUnforeseenErrorOfAWriteIsUnknown(t *testing.T) {
	server := start(t, fake{cast: func(context.Context, *votev1.CastVotesRequest) (*votev1.CastVotesResponse, error) {
		return nil, errors.New("hush")
	}}, config.TLS{})
	conn, err := Dial(server.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = votev1.NewVoteServiceClient(conn).CastVotes(t.Context(), &votev1.CastVotesRequest{})
	wantDetail(t, err, &statusv1.ErrorDetail{Code: statusv1.Code_CODE_INTERNAL, Outcome: statusv1.Outcome_OUTCOME_UNKNOWN})
}

func TestDetailOfOtherErrors(t *testing.T) {
	for _, err := range []error{nil, errors.New("x"), status.Error(codes.Internal, "x"), connect.NewError(connect.CodeInternal, errors.New("x"))} {
		if detail, ok := Detail(err); ok {
			t.Errorf("Detail(%v) = %v", err, detail)
		}
	}
}

func TestEveryCallHasADeadline(t *testing.T) {
	left := make(chan time.Duration, 1)
	server := start(t, fake{read: func(ctx context.Context, _ *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
		deadline, ok := ctx.Deadline()
		if !ok {
			return nil, errors.New("no deadline")
		}
		left <- time.Until(deadline)
		return &queryv1.GetTalliesResponse{}, nil
	}}, config.TLS{})
	plain := queryv1connect.NewQueryServiceClient(httpClient(t, false, config.TLS{}), "http://"+server.Addr()).GetTallies
	inside := dial(t, server.Addr(), config.TLS{})
	dialed := func(ctx context.Context, req *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
		return inside.GetTallies(ctx, req, grpc.WaitForReady(true))
	}
	tests := map[string]struct {
		call func(context.Context, *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error)
		asks time.Duration // 0 for none
		want time.Duration
	}{
		"none from Connect": {plain, 0, DefaultDeadline},
		"none from Dial":    {dialed, 0, DefaultDeadline},
		"longer, allowed":   {plain, 20 * time.Second, 20 * time.Second},
		"too long":          {plain, time.Hour, MaxDeadline},
		"too long, gRPC":    {dialed, time.Hour, MaxDeadline},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if test.asks > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, test.asks)
				defer cancel()
			}
			if _, err := test.call(ctx, &queryv1.GetTalliesRequest{}); err != nil {
				t.Fatal(err)
			}
			// The call has taken a part of it, on a busy machine a large one, but the cases stay apart.
			if got := receive(t, left, "deadline"); got > test.want || got < test.want-4*time.Second {
				t.Errorf("%v left, want about %v", got, test.want)
			}
		})
	}
}
