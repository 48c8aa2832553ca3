// Package origin tells requests that a page of another site has made a browser send.
//
// A browser asks first (a preflight) before it sends what only a program could have meant: a body of JSON, a header of our own.
// Nothing here answers that question for pages that are not on the list, so such requests never come. What a form, an image or a
// script tag can send comes without a question, and is what this package is about.
package origin

import (
	"fmt"
	"mime"
	"net/http"
	"strings"
)

// The headers by which a client says that it is no form and no image; those of Apollo's clients.
const (
	Preflight     = "Apollo-Require-Preflight"
	OperationName = "X-Apollo-Operation-Name"
)

// Guard is safe for concurrent use.
type Guard struct {
	own    *http.CrossOriginProtection
	strict bool
}

// New returns a guard that believes the pages of these origins as it does our own. A strict one refuses also what shows no sign of
// a browser, unless it shows that it is none.
func New(origins []string, strict bool) (*Guard, error) {
	own := http.NewCrossOriginProtection()
	for _, one := range origins {
		if err := own.AddTrustedOrigin(one); err != nil {
			return nil, fmt.Errorf("origins: %w", err)
		}
	}
	return &Guard{own: own, strict: strict}, nil
}

// Own reports whether a request is of a page of ours, or of one that is believed, or of no page at all; whatever its method is.
func (g *Guard) Own(r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions {
		r = &http.Request{Method: http.MethodPost, Header: r.Header, Host: r.Host, URL: r.URL}
	}
	return g.own.Check(r) == nil
}

// Forged reports whether a page of another site may have made a browser send a request without asking first.
func (g *Guard) Forged(r *http.Request) bool {
	header := r.Header
	if header["Sec-Fetch-Site"] == nil && header["Origin"] == nil && !g.strict {
		return false // no browser of this decade, or one that came here without TLS
	}
	if asked(header) {
		return false
	}
	if g.strict && header.Get("Sec-Fetch-Site") == "" && header.Get("Origin") == "" {
		return true
	}
	return !g.Own(r)
}

// asked reports whether a browser would have had to ask first.
func asked(header http.Header) bool {
	if header.Get(Preflight) != "" || header.Get(OperationName) != "" {
		return true
	}
	given := header.Get("Content-Type")
	if given == "" {
		return false
	}
	mediaType, _, err := mime.ParseMediaType(given)
	if err != nil {
		return false
	}
	switch strings.ToLower(mediaType) {
	case "application/x-www-form-urlencoded", "multipart/form-data", "text/plain":
		return false
	default:
		return true
	}
}
