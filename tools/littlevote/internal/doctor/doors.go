package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/tlsfiles"
)

// examineDoors asks each service that is named how it is, and looks at the certificates of all doors.
func examineDoors(ctx context.Context, s *settings, clock func() time.Time) []Finding {
	l := &list{area: "services"}
	for _, t := range s.targets() {
		if err := askHealth(ctx, s, t.address); err != nil {
			l.unreachable(t.name+" at "+t.address, err, "its calls fail, or go to the others", "start it, correct its target, and look at its /readyz on the admin port")
			continue
		}
		l.ok("health", "%s at %s serves", t.name, t.address)
		if s.TLS.CertFile != "" || s.TLS.CAFile != "" {
			l.examineDoor(ctx, s, t.address, clock())
		}
	}
	for _, address := range s.listeners {
		l.examineDoor(ctx, s, address, clock())
	}
	return l.all
}

func askHealth(ctx context.Context, s *settings, address string) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	transport := insecure.NewCredentials()
	if s.TLS != (config.TLS{}) {
		files, err := tlsfiles.Open("tls", s.TLS, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		transport = credentials.NewTLS(files.Client(ctx))
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(transport))
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	if err == nil && answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		err = errors.New(answer.GetStatus().String())
	}
	return err
}

// examineDoor looks at the certificate that a door shows, and whether whoever comes would trust it.
func (l *list) examineDoor(ctx context.Context, s *settings, address string, now time.Time) {
	shown, err := certificatesOf(ctx, s, address)
	if err != nil {
		l.add(Broken, "tls", fmt.Sprintf("no TLS at %s: %v", address, err), "clients with TLS can't connect", "tls.cert-file and tls.key-file for that process", "G1")
		return
	}
	l.judgeCertificate("tls", address, shown[0], now)
	roots, err := rootsOf(s.TLS.CAFile)
	if err == nil {
		host, _, _ := net.SplitHostPort(address)
		between := x509.NewCertPool()
		for _, c := range shown[1:] {
			between.AddCert(c)
		}
		_, err = shown[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: host, CurrentTime: shown[0].NotBefore.Add(time.Second)})
	}
	if err != nil {
		l.add(Broken, "tls", fmt.Sprintf("clients with these settings do not trust %s: %v", address, err), "they can't connect",
			"a certificate for that name, from a CA in tls.ca-file (empty: one of the system's)", "G1")
	}
}

// certificatesOf takes whatever is shown: it is judged afterwards. A door that turns us away for want of a certificate of our own has
// shown its own by then.
func certificatesOf(ctx context.Context, s *settings, address string) ([]*x509.Certificate, error) {
	var shown []*x509.Certificate
	look := &tls.Config{
		InsecureSkipVerify: true, // Nothing is sent or believed.
		VerifyConnection:   func(state tls.ConnectionState) error { shown = state.PeerCertificates; return nil },
	}
	if files, err := tlsfiles.Open("tls", s.TLS, slog.New(slog.DiscardHandler)); err == nil {
		look.Certificates = files.Client(ctx).Certificates
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	conn, err := (&tls.Dialer{Config: look}).DialContext(ctx, "tcp", address)
	if len(shown) > 0 {
		err = nil
	}
	if conn != nil {
		_ = conn.Close()
	}
	return shown, err
}

// rootsOf are those of the system where there is no file.
func rootsOf(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // as package x509 has it
	}
	files, err := tlsfiles.Open("tls", config.TLS{CAFile: file}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return files.Client(context.Background()).RootCAs, nil
}
