package service

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"connectrpc.com/connect"

	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// Kind is what a process is, as its certificate says: the URI spiffe://littlevote/KIND.
type Kind string

// The kinds.
const (
	Gateway       Kind = "gateway"
	TicketService Kind = "ticket-service"
	VoteService   Kind = "vote-service"
	QueryService  Kind = "query-service"
	Persister     Kind = "persister"
	BlogService   Kind = "blog-service"
	Operator      Kind = "operator" // a person's command line

	// nobody is whoever has a certificate of the CA that names none of the kinds.
	nobody Kind = "none"
)

const (
	uriScheme   = "spiffe"
	trustDomain = "littlevote"
)

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{Gateway, TicketService, VoteService, QueryService, Persister, BlogService, Operator}
}

// URI is what a certificate of the kind says.
func (k Kind) URI() *url.URL {
	return &url.URL{Scheme: uriScheme, Host: trustDomain, Path: "/" + string(k)}
}

// Callers says for each procedure of a service ("CastVotes") which kinds may call it. What it leaves out nobody may call.
type Callers map[string][]Kind

// identify says who is at the other end, by a certificate that the handshake has checked. Like SPIFFE it takes no certificate
// that has several URIs.
func identify(state *tls.ConnectionState) Kind {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.PeerCertificates[0].URIs) != 1 {
		return nobody
	}
	uri := *state.PeerCertificates[0].URIs[0]
	kind := Kind(strings.TrimPrefix(uri.Path, "/"))
	if uri != *kind.URI() || !slices.Contains(Kinds(), kind) {
		return nobody
	}
	return kind
}

// guard lets through the calls that their callers may make, before anything of a message is read. Where clients need not say who
// they are, everybody may call everything.
func guard(secure *TLS, path string, callers Callers, next http.Handler) http.Handler {
	if !secure.asks() {
		return next
	}
	writer := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		procedure, caller := strings.TrimPrefix(r.URL.Path, path), identify(r.TLS)
		allowed, known := callers[procedure]
		if slices.Contains(allowed, caller) {
			next.ServeHTTP(w, r)
			return
		}
		if !known {
			procedure = "unknown" // A caller's text is no label.
		}
		secure.refuse(r, path+procedure, caller)
		if r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close") // Else the server waits for the rest of the message before it answers.
		}
		err := Error(connect.CodePermissionDenied, &statusv1.ErrorDetail{
			Code: statusv1.Code_CODE_PERMISSION_DENIED, Outcome: statusv1.Outcome_OUTCOME_NONE,
		}, "a %s may not call this", caller)
		if !writer.IsSupported(r) {
			http.Error(w, err.Message(), http.StatusForbidden)
			return
		}
		_ = writer.Write(w, r, err) // The client has gone; there is nobody to tell.
	})
}
