package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"connectrpc.com/connect"

	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

const (
	// readLimit bounds one message, after decompression. The largest honest one is a batch of 1,000 votes or 256 KiB.
	readLimit = 4 << 20
	// compressFrom is the size below which compressing an answer costs more than it saves. The largest answer to a batch of votes
	// is smaller: at 1 KiB a vote cost 3 to 5 % more processor time, by a profile.
	compressFrom = 1 << 20

	// DefaultDeadline is what a unary call gets that comes without a deadline.
	DefaultDeadline = 5 * time.Second
	// MaxDeadline is the longest a unary call may take, whatever its caller asks for.
	MaxDeadline = 30 * time.Second
)

// HandlerOptions are the options of every Connect handler: a span and a measurement of each call, messages up to 4 MiB, a deadline
// for every unary call that is not over when the call begins, and errors that nobody meant for the client, panics too, logged and shown as "internal". Meant for the client is a *connect.Error with a
// code other than Unknown, Internal and DataLoss, as Error makes it; what other calls returned is not, not even a gRPC status.
func HandlerOptions(host Host) []connect.HandlerOption {
	return []connect.HandlerOption{
		readLimits(),
		connect.WithCompressMinBytes(compressFrom),
		// In this order the redactor sees what became of a panic.
		connect.WithInterceptors(newWatcher(host), deadliner{}, redactor{log: host.Log}),
		connect.WithRecover(func(_ context.Context, _ connect.Spec, _ http.Header, panicked any) error {
			return &panicError{value: panicked, stack: debug.Stack()}
		}),
	}
}

// deadliner gives every unary call a deadline. Streams are left alone: they end with their client or with the server.
type deadliner struct{}

func (deadliner) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		limit := DefaultDeadline
		if _, ok := ctx.Deadline(); ok {
			limit = MaxDeadline
		}
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		// Work that nobody waits for is not begun. So whoever sees this detail knows that nothing has happened.
		if err := ctx.Err(); err != nil {
			return nil, Error(connect.CodeDeadlineExceeded, &statusv1.ErrorDetail{
				Code: statusv1.Code_CODE_UNAVAILABLE, Outcome: statusv1.Outcome_OUTCOME_NONE, Retryable: true,
			}, "the deadline was over before the work began")
		}
		return next(ctx, req)
	}
}

func (deadliner) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (deadliner) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// panicError is a panic on its way to the redactor.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// redactor lets through only the errors that a handler made for its client.
type redactor struct{ log *slog.Logger }

func (r redactor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		answer, err := next(ctx, req)
		if err != nil {
			return nil, r.redact(ctx, req.Spec(), err)
		}
		return answer, nil
	}
}

func (r redactor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (r redactor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		err := next(ctx, conn)
		if err != nil {
			return r.redact(ctx, conn.Spec(), err)
		}
		return nil
	}
}

// redact returns what the client may see of err.
func (r redactor) redact(ctx context.Context, spec connect.Spec, err error) error {
	var made *connect.Error
	switch {
	case errors.As(err, &made) && !hides(made.Code()) && !connect.IsWireError(made):
		return made // Not err: what is wrapped around the error was not meant for the client.
	case made == nil && errors.Is(err, context.DeadlineExceeded):
		return connect.NewError(connect.CodeDeadlineExceeded, errors.New("deadline exceeded"))
	case made == nil && errors.Is(err, context.Canceled):
		return connect.NewError(connect.CodeCanceled, errors.New("canceled"))
	}
	attributes := []any{"procedure", spec.Procedure, "error", err}
	var panicked *panicError
	if errors.As(err, &panicked) {
		attributes = append(attributes, "stack", string(panicked.stack))
	}
	r.log.ErrorContext(ctx, "internal error in a call", attributes...)
	detail, ok := Detail(err)
	if !ok {
		detail = &statusv1.ErrorDetail{Code: statusv1.Code_CODE_INTERNAL, Outcome: outcome(spec)}
	}
	return Error(connect.CodeInternal, detail, "internal")
}

// hides reports whether errors of this code speak of our faults, so that their text is not for clients.
func hides(code connect.Code) bool {
	return code == connect.CodeUnknown || code == connect.CodeInternal || code == connect.CodeDataLoss
}

// outcome is what an unforeseen error says about the effect of a call: nobody knows, unless the call never has one.
func outcome(spec connect.Spec) statusv1.Outcome {
	if spec.IdempotencyLevel == connect.IdempotencyNoSideEffects {
		return statusv1.Outcome_OUTCOME_NONE
	}
	return statusv1.Outcome_OUTCOME_UNKNOWN
}
