package authority

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"testing"
	"time"
)

func parsed(t *testing.T, text []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("no PEM: %s", text)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TestIssue: what was asked for is in the certificate, both sides may use it, and it makes no certificates itself.
func TestIssue(t *testing.T) {
	made, err := New("a CA", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	key, err := made.Key()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(made.Cert(), key)
	if err != nil {
		t.Fatal(err)
	}
	who := &url.URL{Scheme: "spiffe", Host: "littlevote", Path: "/gateway"}
	cert, secret, err := again.Issue(Request{Name: "gateway", URIs: []*url.URL{who}, Hosts: []string{"gateway", "127.0.0.1"}, Life: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(cert, secret); err != nil {
		t.Error(err)
	}
	leaf, pool := parsed(t, cert), x509.NewCertPool()
	pool.AppendCertsFromPEM(made.Cert())
	for _, host := range []string{"gateway", "127.0.0.1"} {
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
			t.Error(err)
		}
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if leaf.IsCA || len(leaf.URIs) != 1 || leaf.URIs[0].String() != "spiffe://littlevote/gateway" || leaf.NotAfter.After(made.Ends().Add(time.Second)) {
		t.Errorf("CA %v, URIs %v, ends %v after its CA at %v", leaf.IsCA, leaf.URIs, leaf.NotAfter, made.Ends())
	}
	other, err := New("another", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if !made.Made(leaf) || other.Made(leaf) {
		t.Error("Made does not tell one CA's from another's")
	}
	if _, err := Open(cert, secret); err == nil {
		t.Error("a certificate of a process passes for a CA")
	}
}
