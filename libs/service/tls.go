package service

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc/credentials"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/tlsfiles"
)

// TLS is what a process shows to others, and whom it believes: for its RPC port and for its calls. A nil one is plaintext.
type TLS struct {
	files   *tlsfiles.Files // nil: plaintext
	serves  bool            // there is a certificate
	checks  bool            // there is a CA
	dev     bool
	log     *slog.Logger
	refused metric.Int64Counter
}

// OpenTLS reads the files that the settings name; none are plaintext. From then on they are read again when they change: while
// Run runs within a second, else when a connection is made. Health and the meter say how the certificate is.
func OpenTLS(files config.TLS, dev bool, host Host) (*TLS, error) {
	t := &TLS{serves: files.CertFile != "", checks: files.CAFile != "", dev: dev, log: host.Log}
	if files == (config.TLS{}) {
		return t, nil
	}
	var err error
	if t.files, err = tlsfiles.Open("tls", files, host.Log); err != nil {
		return nil, err
	}
	host.Health.Degraded(t.files.Problem)
	return t, t.observe(host.Meter)
}

// ClientTLS is OpenTLS for a program that only calls, and not for long.
func ClientTLS(files config.TLS, log *slog.Logger) (*TLS, error) {
	return OpenTLS(files, false, Host{Log: log, Health: NewHealth(), Meter: noop.Meter{}})
}

func (t *TLS) observe(meter metric.Meter) error {
	var errs [2]error
	t.refused, errs[0] = meter.Int64Counter("rpc.caller.refused", metric.WithUnit("{call}"),
		metric.WithDescription("Calls that their caller may not make, by procedure and kind of caller."))
	_, errs[1] = meter.Float64ObservableGauge("tls.certificate.left", metric.WithUnit("s"),
		metric.WithDescription("Time until this process' own certificate ends; negative after that."),
		metric.WithFloat64Callback(func(ctx context.Context, o metric.Float64Observer) error {
			if end, ok := t.files.Ends(ctx); ok {
				o.Observe(time.Until(end).Seconds())
			}
			return nil
		}))
	return errors.Join(errs[:]...)
}

// secure says whether there is any TLS.
func (t *TLS) secure() bool { return t != nil && t.files != nil }

// asks says whether clients must show who they are.
func (t *TLS) asks() bool { return t.secure() && t.serves && t.checks }

// server is nil where plaintext is served.
func (t *TLS) server() (*tls.Config, error) {
	switch {
	case !t.secure():
		return nil, nil //nolint:nilnil // No TLS is no error.
	case !t.serves:
		return nil, config.Errorf("tls.cert-file", "expected a file, since there is a ca-file: without a certificate of its own a server can ask nobody for one")
	default:
		return t.files.Server("h2", "http/1.1"), nil
	}
}

// Run looks at the files once a second until ctx ends; a Server does so by itself. It returns nil.
func (t *TLS) Run(ctx context.Context) error {
	if t.secure() {
		return t.files.Run(ctx)
	}
	<-ctx.Done()
	return nil
}

// credentials are for calls.
func (t *TLS) credentials(plain credentials.TransportCredentials) credentials.TransportCredentials {
	if !t.secure() {
		return plain
	}
	return t.files.Credentials()
}

// madeWith is the key of the files' state that a connection was made with.
type madeWith struct{}

// connection notes it.
func (t *TLS) connection(ctx context.Context, _ net.Conn) context.Context {
	if !t.secure() {
		return ctx
	}
	return context.WithValue(ctx, madeWith{}, t.files.Now())
}

// renew lets a connection end with the answers that are on their way when it was made with other files than those in force, or
// when its client's certificate has ended: the client then connects anew, if it still may. So whom a new CA leaves out is out,
// however long it has been connected, and nobody else loses a call.
func (t *TLS) renew(next http.Handler) http.Handler {
	if !t.secure() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if made, ok := r.Context().Value(madeWith{}).(*tlsfiles.Material); ok && made != t.files.Now() || ended(r.TLS) {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// ended says whether the client's certificate was good when it connected and is no more.
func ended(state *tls.ConnectionState) bool {
	return state != nil && len(state.PeerCertificates) > 0 && time.Now().After(state.PeerCertificates[0].NotAfter)
}

// refuse counts and logs a call that is not answered.
func (t *TLS) refuse(r *http.Request, procedure string, caller Kind) {
	ctx := r.Context()
	t.refused.Add(ctx, 1, metric.WithAttributes(attribute.String("procedure", procedure), attribute.String("caller", string(caller))))
	t.log.WarnContext(ctx, "a call that its caller may not make", "procedure", procedure, "caller", caller, "address", r.RemoteAddr)
}
