package answer

import (
	"errors"
	"time"

	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// Refusal is an answer that is not what was asked for.
type Refusal struct {
	Code       statusv1.Code
	Text       Text
	Retryable  bool
	RetryAfter time.Duration // 0: at once
	Detail     string        // more, in English; shown beside the text
	Cause      error         // for the log; never shown
}

// Error is for the log; clients get the text in their language.
func (r *Refusal) Error() string {
	if r.Cause != nil {
		return r.Code.String() + ": " + r.Cause.Error()
	}
	return r.Code.String()
}

func (r *Refusal) Unwrap() error { return r.Cause }

// NotValid refuses a request that breaks a rule; it will never succeed.
func NotValid(text Text) *Refusal {
	return &Refusal{Code: statusv1.Code_CODE_INVALID_ARGUMENT, Text: text}
}

// RefusalOf returns the refusal in err; anything else is an internal error with err as its cause.
func RefusalOf(err error) *Refusal {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return refusal
	}
	return &Refusal{Code: statusv1.Code_CODE_INTERNAL, Text: Internal, Cause: err}
}
