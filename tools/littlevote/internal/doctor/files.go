package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/ticket"
)

const (
	// certificateWarning leaves time for whoever renews certificates by hand.
	certificateWarning = 14 * 24 * time.Hour
	certificateBroken  = 24 * time.Hour
	// keyAge is after what time a key that tickets are signed with should give way.
	keyAge = 90 * 24 * time.Hour
)

func examineFiles(_ context.Context, s *settings, clock func() time.Time) []Finding {
	l := &list{area: "files"}
	for _, group := range []struct {
		name  string
		files config.TLS
	}{{"tls", s.TLS}, {"redis", s.Redis.Files()}, {"kafka", s.Kafka.Files()}} {
		if group.files.CertFile != "" {
			l.examinePair(group.name, group.files, clock())
		}
		if group.files.CAFile != "" {
			l.examineCA(group.name, group.files.CAFile, clock())
		}
	}
	l.examineTicketKey(s, clock())
	return l.all
}

func (l *list) examinePair(group string, files config.TLS, now time.Time) {
	pair, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
	if err != nil {
		l.add(Broken, group+".cert-file", fmt.Sprintf("%[1]s.cert-file and %[1]s.key-file: %[2]v", group, err), "processes do not start with them", "write a certificate and the key that it was made for")
		return
	}
	l.judgeCertificate(group+".cert-file", files.CertFile, pair.Leaf, now)
	l.judgeMode(group+".key-file", files.KeyFile)
}

func (l *list) examineCA(group, file string, now time.Time) {
	text, err := os.ReadFile(file)
	if err != nil {
		l.add(Broken, group+".ca-file", fmt.Sprintf("%s.ca-file: %v", group, err), "processes do not start without it", "correct "+group+".ca-file")
		return
	}
	found := false
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			found = true
			l.judgeCertificate(group+".ca-file", file+", "+certificate.Subject.String(), certificate, now)
		}
	}
	if !found {
		l.add(Broken, group+".ca-file", file+" has no certificate in it", "processes do not start with it", "correct "+group+".ca-file")
	}
}

// judgeCertificate says how long a certificate lasts; check names the setting or the door.
func (l *list) judgeCertificate(check, where string, c *x509.Certificate, now time.Time) {
	const why, mend = "when it is over nobody connects any more, and no vote comes in", "write a new certificate to the same file: processes read it by themselves"
	left := c.NotAfter.Sub(now)
	until := c.NotAfter.UTC().Format(time.RFC3339)
	days := int(left / (24 * time.Hour))
	switch {
	case now.Before(c.NotBefore):
		l.add(Broken, check, fmt.Sprintf("the certificate of %s is valid from %s on", where, c.NotBefore.UTC().Format(time.RFC3339)), "nobody connects before that", "set the clock, or take the one before", "G1")
	case left <= 0:
		l.add(Broken, check, fmt.Sprintf("the certificate of %s is over since %s", where, until), why, mend, "G1")
	case left < certificateBroken:
		l.add(Broken, check, fmt.Sprintf("the certificate of %s ends within a day, at %s", where, until), why, mend, "G1")
	case left < certificateWarning:
		l.add(Warning, check, fmt.Sprintf("the certificate of %s ends in %d days, at %s", where, days, until), why, mend, "G1")
	default:
		l.ok(check, "the certificate of %s lasts for %d days", where, days)
	}
}

// judgeMode looks at who may read a secret. Kubernetes mounts secrets for a group, so that is no more than a note.
func (l *list) judgeMode(check, file string) {
	info, err := os.Stat(file)
	if err != nil {
		return // told by whoever tried to read it
	}
	const why = "whoever reads it can act in our name"
	switch mode := info.Mode().Perm(); {
	case mode&0o007 != 0:
		l.add(Warning, check, fmt.Sprintf("%s may be read or written by everybody (%v)", file, mode), why, "chmod 0600 "+file)
	case mode&0o070 != 0:
		l.add(Note, check, fmt.Sprintf("%s may be read or written by its group (%v)", file, mode), why, "chmod 0600 "+file+", unless the group is the processes' own")
	default:
		l.ok(check, "%s may be read by its owner alone", file)
	}
}

func (l *list) examineTicketKey(s *settings, now time.Time) {
	file := s.Ticket.KeyFile
	if file == "" {
		if s.Dev.Dev {
			l.add(Warning, "ticket.key-file", "development mode without ticket.key-file", "everybody knows the key that tickets are signed with, and can make tickets", "ticket.key-file, and dev: false", "G4")
		}
		return
	}
	if _, err := ticket.LoadKeys(file); err != nil {
		l.add(Broken, "ticket.key-file", fmt.Sprintf("ticket.key-file: %v", err), "gateways, ticket- and vote-services do not start", "head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \\n' > "+file, "G4")
		return
	}
	l.judgeMode("ticket.key-file", file)
	info, err := os.Stat(file)
	if err != nil {
		return
	}
	if age := now.Sub(info.ModTime()); age > keyAge {
		l.add(Note, "ticket.key-file", fmt.Sprintf("%s was written %d days ago", file, int(age/(24*time.Hour))), "a key that leaked and is never changed lets somebody make tickets for as long",
			"rotate: a new key as the first line, the old one below it", "G4")
	}
}
