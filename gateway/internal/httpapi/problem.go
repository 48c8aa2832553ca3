package httpapi

import (
	"net/http"
	"time"

	"github.com/littlevote/littlevote/gateway/internal/origin"
)

// problem is why a request is not executed, before its document was looked at.
type problem struct {
	status  int
	code    string // extensions.code
	message string

	retryAfter time.Duration // how long to wait before the same request may succeed; 0: it never will
	unknown    bool          // something may have happened
}

func badRequest(message string) *problem {
	return &problem{status: http.StatusBadRequest, code: "BAD_REQUEST", message: message}
}

func tooLarge() *problem {
	return &problem{status: http.StatusRequestEntityTooLarge, code: "PAYLOAD_TOO_LARGE", message: "the body is too large"}
}

func uriTooLong() *problem {
	return &problem{status: http.StatusRequestURITooLong, code: "PAYLOAD_TOO_LARGE", message: "the query string is too long"}
}

func unsupportedType(message string) *problem {
	return &problem{status: http.StatusUnsupportedMediaType, code: "UNSUPPORTED_MEDIA_TYPE", message: message}
}

func methodNotAllowed(message string) *problem {
	return &problem{status: http.StatusMethodNotAllowed, code: "METHOD_NOT_ALLOWED", message: message}
}

func notAcceptable() *problem {
	return &problem{
		status: http.StatusNotAcceptable, code: "NOT_ACCEPTABLE", message: "answers are " + typeModern + " or " + typeLegacy,
	}
}

func noStream() *problem {
	return &problem{
		status: http.StatusNotAcceptable, code: "NOT_ACCEPTABLE", message: "answers to a subscription are " + typeEvents + ", or messages of a WebSocket",
	}
}

func overloaded() *problem {
	return &problem{
		status: http.StatusTooManyRequests, code: "OVERLOADED", message: "too many requests at once: try again later",
		retryAfter: time.Second,
	}
}

func forged() *problem {
	return &problem{
		status: http.StatusForbidden, code: "CROSS_SITE_REQUEST",
		message: "this may be the request of another site's page (CSRF): send POST, or the header " + origin.Preflight,
	}
}

func panicked() *problem {
	return &problem{status: http.StatusInternalServerError, code: "INTERNAL", message: "internal error", unknown: true}
}
