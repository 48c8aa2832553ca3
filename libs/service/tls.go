package service

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/littlevote/littlevote/libs/config"
)

// serverTLS is nil without a certificate.
func serverTLS(files config.TLS) (*tls.Config, error) {
	if files.CertFile == "" {
		return nil, nil //nolint:nilnil // No TLS is no error.
	}
	own, pool, err := loadTLS(files)
	if err != nil {
		return nil, err
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: own}
	if pool != nil {
		secure.ClientCAs, secure.ClientAuth = pool, tls.RequireAndVerifyClientCert
	}
	return secure, nil
}

// clientTLS is nil without any file.
func clientTLS(files config.TLS) (*tls.Config, error) {
	if files.CertFile == "" && files.CAFile == "" {
		return nil, nil //nolint:nilnil // No TLS is no error.
	}
	own, pool, err := loadTLS(files)
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: own, RootCAs: pool}, nil
}

func loadTLS(files config.TLS) (own []tls.Certificate, pool *x509.CertPool, err error) {
	if files.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
		if err != nil {
			return nil, nil, config.Errorf("tls.cert-file", "expected a certificate and its key: %v", err)
		}
		own = append(own, pair)
	}
	if files.CAFile != "" {
		pem, err := os.ReadFile(files.CAFile)
		if err != nil {
			return nil, nil, config.Errorf("tls.ca-file", "expected a readable file: %v", err)
		}
		pool = x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, nil, config.Errorf("tls.ca-file", "expected PEM certificates in %s", fmt.Sprintf("%q", files.CAFile))
		}
	}
	return own, pool, nil
}
