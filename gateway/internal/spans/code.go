package spans

import (
	"errors"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/gateway/internal/answer"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// End ends a span with what its work came to.
func End(span trace.Span, err error) {
	if !span.IsRecording() {
		return
	}
	if err != nil {
		code := statusv1.Code_CODE_INTERNAL
		var refused *answer.Refusal
		if errors.As(err, &refused) {
			code = refused.Code
		}
		Came(span, code)
	}
	span.End()
}

// Came says what the work of a span came to. It has failed where that is our fault: a refusal is an answer.
func Came(span trace.Span, code statusv1.Code) {
	CameTo(span, strings.TrimPrefix(code.String(), "CODE_"))
}

// CameTo is Came for the name of a code, as clients see it.
func CameTo(span trace.Span, code string) {
	span.SetAttributes(attribute.String("littlevote.code", code))
	switch code {
	case "INTERNAL", "UNAVAILABLE", "OUTCOME_UNKNOWN":
		span.SetStatus(codes.Error, code)
	}
}

// Decided ends the span of a vote or a like, which was tried again so often.
func Decided(span trace.Span, code statusv1.Code, outcome statusv1.Outcome, retries int) {
	Came(span, code)
	span.SetAttributes(
		attribute.String("littlevote.outcome", strings.TrimPrefix(outcome.String(), "OUTCOME_")), attribute.Int("littlevote.retries", retries),
	)
	span.End()
}
