package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"

	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/littlevote/littlevote/gateway/internal/engine"
)

// Allowed is the operations that may be executed where no others may.
type Allowed interface {
	ByID(id string) *engine.Document
	ByText(text []byte) *engine.Document
}

// persisted is a document that a client calls by what stands for it, as Apollo's clients do it: by the SHA-256 of its text, which
// the gateway remembers once a client has sent both (automatic persisted queries), or by its id on the list of those that are allowed.
type persisted struct {
	given bool
	id    string
}

const (
	persistedVersion = 1
	maxPersistedID   = 256 // bytes
)

// readPersisted reads the member persistedQuery of the extensions.
func readPersisted(extensions map[string]any) (persisted, *problem) {
	value, given := extensions["persistedQuery"]
	if !given || value == nil {
		return persisted{}, nil
	}
	members, ok := value.(map[string]any)
	if !ok {
		return persisted{}, badRequest("extensions.persistedQuery must be an object")
	}
	if version := members["version"]; version != int64(persistedVersion) && version != float64(persistedVersion) {
		return persisted{}, badRequest("extensions.persistedQuery.version must be 1")
	}
	id, ok := members["sha256Hash"].(string)
	if !ok || id == "" || len(id) > maxPersistedID {
		return persisted{}, badRequest("extensions.persistedQuery.sha256Hash must be a string of 1 to 256 bytes")
	}
	return persisted{given: true, id: id}, nil
}

// failure is why there is no document to execute.
type failure struct {
	errs   gqlerror.List
	status int // 0: that of a document that can't be executed
}

func failed(status int, code, message string) *failure {
	return &failure{errs: gqlerror.List{{Message: message, Extensions: refusalOf(code)}}, status: status}
}

// find returns the document that a request means.
func (h *Handler) find(request *request) (*engine.Document, *failure) {
	switch {
	case h.cfg.Allowed != nil:
		return h.findAllowed(request)
	case !request.persisted.given:
		return h.prepare(request.query)
	case !h.engine.Remembers():
		return nil, failed(0, "PERSISTED_QUERY_NOT_SUPPORTED", "PersistedQueryNotSupported")
	case len(request.query) == 0:
		if known := h.engine.Known(request.persisted.id); known != nil {
			return known, nil
		}
		// 200 whatever the format: some clients give persisted queries up for good at a 400.
		return nil, failed(http.StatusOK, "PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")
	}
	if sum := sha256.Sum256(request.query); hex.EncodeToString(sum[:]) != request.persisted.id {
		return nil, failed(http.StatusBadRequest, "PERSISTED_QUERY_HASH_MISMATCH", "provided sha does not match query")
	}
	document, failure := h.prepare(request.query)
	if failure == nil {
		h.engine.Remember(request.persisted.id, document)
	}
	return document, failure
}

func (h *Handler) prepare(query []byte) (*engine.Document, *failure) {
	document, errs := h.engine.Prepare(query)
	if errs != nil {
		return nil, &failure{errs: errs}
	}
	return document, nil
}

// findAllowed looks for the text where there is one, whatever the client calls it.
func (h *Handler) findAllowed(request *request) (*engine.Document, *failure) {
	if len(request.query) > 0 {
		if document := h.cfg.Allowed.ByText(request.query); document != nil {
			return document, nil
		}
		return nil, failed(0, "QUERY_NOT_IN_SAFELIST", "the operation is not on the list of those that are served here")
	}
	if document := h.cfg.Allowed.ByID(request.persisted.id); document != nil {
		return document, nil
	}
	return nil, failed(0, "PERSISTED_QUERY_NOT_IN_LIST", "the id is not on the list of operations that are served here")
}
