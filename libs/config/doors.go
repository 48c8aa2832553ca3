package config

import (
	"errors"
	"strings"
)

// The values of kafka.sasl.
const (
	SASLNone        = "none"
	SASLPlain       = "plain"
	SASLScramSHA256 = "scram-sha-256"
	SASLScramSHA512 = "scram-sha-512"
)

// pairOfFiles is an error if a certificate comes without its key, or a key without its certificate.
func pairOfFiles(cert, key string) error {
	switch {
	case cert == "" && key != "":
		return Errorf("cert-file", "expected a file, since there is a key-file")
	case cert != "" && key == "":
		return Errorf("key-file", "expected a file, since there is a cert-file")
	default:
		return nil
	}
}

// Secure says whether Redis is spoken to by TLS.
func (r Redis) Secure() bool { return strings.HasPrefix(r.URL, "rediss") }

// Files are for TLS with Redis.
func (r Redis) Files() TLS { return TLS{CertFile: r.CertFile, KeyFile: r.KeyFile, CAFile: r.CAFile} }

// validDoor refuses settings that would not be used: who gives them counts on them.
func (r Redis) validDoor() error {
	err := pairOfFiles(r.CertFile, r.KeyFile)
	if r.URL == "" {
		return err
	}
	if r.Files() != (TLS{}) && !r.Secure() {
		err = errors.Join(err, Errorf("url", "expected rediss://, rediss+cluster:// or rediss+sentinel://, since there are files for TLS"))
	}
	if (r.SentinelUser != "" || r.SentinelPassword != "") && !strings.Contains(r.URL, "+sentinel://") {
		err = errors.Join(err, Errorf("url", "expected redis+sentinel:// or rediss+sentinel://, since there is a login for Sentinels"))
	}
	return err
}

// Files are for TLS with the collector.
func (t Trace) Files() TLS { return TLS{CertFile: t.CertFile, KeyFile: t.KeyFile, CAFile: t.CAFile} }

// validDoor refuses settings that would not be used.
func (t Trace) validDoor() error {
	err := pairOfFiles(t.CertFile, t.KeyFile)
	if t.Files() != (TLS{}) && t.Endpoint != "" && !strings.HasPrefix(t.Endpoint, "https://") {
		err = errors.Join(err, Errorf("endpoint", "expected https://, since there are files for TLS"))
	}
	return err
}

// Files are for TLS with the brokers.
func (k Kafka) Files() TLS { return TLS{CertFile: k.CertFile, KeyFile: k.KeyFile, CAFile: k.CAFile} }

// validDoor refuses settings that would not be used, and a password in plaintext on the wire.
func (k Kafka) validDoor() error {
	errs := []error{
		pairOfFiles(k.CertFile, k.KeyFile),
		OneOf("sasl", k.SASL, "", SASLNone, SASLPlain, SASLScramSHA256, SASLScramSHA512),
	}
	if k.Files() != (TLS{}) && !k.TLS {
		errs = append(errs, Errorf("tls", "expected true, since there are files for TLS"))
	}
	login := k.SASL != "" && k.SASL != SASLNone
	switch {
	case k.SASL == SASLPlain && !k.TLS:
		errs = append(errs, Errorf("sasl", "expected %s or %s, or kafka.tls: plain shows the password to everybody on the way", SASLScramSHA512, SASLScramSHA256))
	case login && k.User == "":
		errs = append(errs, Errorf("user", "expected a name, since kafka.sasl is %s", k.SASL))
	case login && k.Password == "":
		errs = append(errs, Errorf("password", "expected a password, since kafka.sasl is %s", k.SASL))
	case !login && (k.User != "" || k.Password != ""):
		errs = append(errs, Errorf("sasl", "expected a way to log in, since there is a name or a password"))
	}
	return errors.Join(errs...)
}
