package answer

import (
	"net/http"

	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// HTTPStatus is the status of a request that is refused as a whole.
func HTTPStatus(code statusv1.Code) int {
	switch code {
	case statusv1.Code_CODE_INVALID_ARGUMENT:
		return http.StatusBadRequest
	case statusv1.Code_CODE_UNAUTHENTICATED:
		return http.StatusUnauthorized
	case statusv1.Code_CODE_PERMISSION_DENIED:
		return http.StatusForbidden
	case statusv1.Code_CODE_RATE_LIMITED, statusv1.Code_CODE_OVERLOADED:
		return http.StatusTooManyRequests
	case statusv1.Code_CODE_UNAVAILABLE:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}
