// Package authority makes certificates: a CA of its own, for development, tests and Compose. Where there is cert-manager or
// another CA, use that.
package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"
)

// Skew is how much a clock may be behind that looks at a new certificate: it begins that much before it is made.
const Skew = 5 * time.Minute

// Authority is a CA: it signs certificates, and nothing below it may.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// New makes an authority that ends after life.
func New(name string, life time.Duration) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name},
		IsCA:    true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := sign(template, life, nil, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	return &Authority{cert: cert, key: key}, nil
}

// Open reads an authority as Cert and Key write it. Errors show nothing of the key.
func Open(certPEM, keyPEM []byte) (*Authority, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !cert.IsCA {
		return nil, errors.New("authority: expected the certificate of a CA and its key")
	}
	return &Authority{cert: cert, key: key}, nil
}

// Cert is the certificate of the CA, as PEM.
func (a *Authority) Cert() []byte { return certificatePEM(a.cert.Raw) }

// Key is the secret of the CA, as PEM.
func (a *Authority) Key() ([]byte, error) { return keyPEM(a.key) }

// Ends is when the CA ends, and with it all its certificates.
func (a *Authority) Ends() time.Time { return a.cert.NotAfter }

// Request is what a certificate is to say.
type Request struct {
	Name  string     // for people
	URIs  []*url.URL // who shows it
	Hosts []string   // names and addresses where it may be served
	Life  time.Duration
}

// Issue makes a key and a certificate for it, as PEM, for clients and servers. It ends with its CA at the latest.
func (a *Authority) Issue(r Request) (cert, key []byte, err error) {
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("authority: %w", err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: r.Name}, URIs: r.URIs,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, host := range r.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := sign(template, min(r.Life, time.Until(a.cert.NotAfter)), a.cert, secret.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	if key, err = keyPEM(secret); err != nil {
		return nil, nil, err
	}
	return certificatePEM(der), key, nil
}

// sign fills in what all certificates have; without a parent it signs itself.
func sign(template *x509.Certificate, life time.Duration, parent *x509.Certificate, public, signer any) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	now := time.Now()
	template.SerialNumber, template.NotBefore, template.NotAfter = serial, now.Add(-Skew), now.Add(life)
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	return der, nil
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func keyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Made says whether a certificate is this authority's.
func (a *Authority) Made(cert *x509.Certificate) bool { return cert.CheckSignatureFrom(a.cert) == nil }
