package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/littlevote/littlevote/libs/authority"
	"github.com/littlevote/littlevote/libs/service"
)

const (
	caFolder = "ca"
	caCert   = "ca.crt" // the newest CA first
	caKey    = "ca.key" // of the newest
	leafCert = "tls.crt"
	leafKey  = "tls.key"

	onlyOwner       = 0o600
	onlyOwnerFolder = 0o700
)

var plainName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// folder is where everything is.
type folder struct{ dir string }

// order is what a certificate is to be like.
type order struct {
	hosts  []string
	life   time.Duration
	noKind bool
}

// makeCA makes a CA: the first one, or the next one beside those that there are.
func (f *folder) makeCA(life time.Duration, next bool) error {
	path := filepath.Join(f.dir, caFolder, caCert)
	old, err := os.ReadFile(path)
	switch {
	case err == nil && !next:
		return fmt.Errorf("%s is there already; next-ca makes another one beside it", path)
	case next && err != nil:
		return fmt.Errorf("there is no CA yet: %w", err)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	made, err := authority.New("Little Vote "+time.Now().UTC().Format("2006-01-02 15:04:05"), life)
	if err != nil {
		return err
	}
	key, err := made.Key()
	if err != nil {
		return err
	}
	if err := f.write(filepath.Join(caFolder, caKey), key); err != nil {
		return err
	}
	return f.publish(slices.Concat(made.Cert(), old))
}

// publish gives a bundle of CAs to everybody.
func (f *folder) publish(bundle []byte) error {
	if err := f.write(filepath.Join(caFolder, caCert), bundle); err != nil {
		return err
	}
	all, err := f.certificates()
	if err != nil {
		return err
	}
	for _, one := range all {
		if err := f.write(filepath.Join(one.name, caCert), bundle); err != nil {
			return err
		}
	}
	return nil
}

// open reads the newest CA, and the bundle with all of them.
func (f *folder) open() (newest *authority.Authority, bundle []byte, err error) {
	bundle, err = os.ReadFile(filepath.Join(f.dir, caFolder, caCert))
	if err != nil {
		return nil, nil, fmt.Errorf("the CA, which init makes: %w", err)
	}
	key, err := os.ReadFile(filepath.Join(f.dir, caFolder, caKey))
	if err != nil {
		return nil, nil, err
	}
	newest, err = authority.Open(bundle, key)
	return newest, bundle, err
}

// issue makes a certificate for a kind, or without one.
func (f *folder) issue(name string, o order) error {
	request := authority.Request{Name: name, Hosts: append([]string{name, "localhost", "127.0.0.1", "::1"}, o.hosts...), Life: o.life}
	switch {
	case !o.noKind && !slices.Contains(service.Kinds(), service.Kind(name)):
		return fmt.Errorf("%q: expected one of %v, or --no-kind for a store", name, service.Kinds())
	case !o.noKind:
		request.URIs = []*url.URL{service.Kind(name).URI()}
	case name == caFolder || !plainName.MatchString(name) || slices.Contains(service.Kinds(), service.Kind(name)):
		return fmt.Errorf("%q: expected a name of a-z, 0-9 and the hyphen that is no kind's and not %s", name, caFolder)
	}
	return f.sign(name, request)
}

func (f *folder) sign(name string, request authority.Request) error {
	ca, bundle, err := f.open()
	if err != nil {
		return err
	}
	cert, key, err := ca.Issue(request)
	if err != nil {
		return err
	}
	return errors.Join(
		f.write(filepath.Join(name, caCert), bundle),
		f.write(filepath.Join(name, leafKey), key),
		f.write(filepath.Join(name, leafCert), cert),
	)
}

// renew makes new certificates, like those that there are, for those that need it, and returns their names.
func (f *folder) renew(all bool, now time.Time) ([]string, error) {
	ca, _, err := f.open()
	if err != nil {
		return nil, err
	}
	found, err := f.certificates()
	if err != nil {
		return nil, err
	}
	var renewed []string
	for _, one := range found {
		life := one.leaf.NotAfter.Sub(one.leaf.NotBefore)
		if !all && one.leaf.NotAfter.Sub(now) >= life/renewShare && ca.Made(one.leaf) {
			continue
		}
		if err := f.sign(one.name, authority.Request{Name: one.name, URIs: one.leaf.URIs, Hosts: hosts(one.leaf), Life: life - authority.Skew}); err != nil {
			return renewed, err
		}
		renewed = append(renewed, one.name)
	}
	return renewed, nil
}

// dropOld leaves the newest CA alone.
func (f *folder) dropOld() error {
	ca, _, err := f.open()
	if err != nil {
		return err
	}
	found, err := f.certificates()
	if err != nil {
		return err
	}
	for _, one := range found {
		if !ca.Made(one.leaf) {
			return fmt.Errorf("the certificate of %s is of an old CA: renew it first, and give every process time to read it", one.name)
		}
	}
	return f.publish(ca.Cert())
}

// certificate is one that there is.
type certificate struct {
	name string
	leaf *x509.Certificate
}

// certificates are all that were issued, by name.
func (f *folder) certificates() ([]certificate, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, err
	}
	var all []certificate
	for _, entry := range entries {
		path := filepath.Join(f.dir, entry.Name(), leafCert)
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || entry.Name() == caFolder {
			continue
		}
		if err != nil {
			return nil, err
		}
		block, _ := pem.Decode(text)
		if block == nil {
			return nil, fmt.Errorf("%s: expected a certificate", path)
		}
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, certificate{name: entry.Name(), leaf: leaf})
	}
	return all, nil
}

// hosts are the names and addresses that a certificate is served at.
func hosts(leaf *x509.Certificate) []string {
	all := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		all = append(all, ip.String())
	}
	return all
}

// write exchanges a file in one step, so that nobody reads a half of it.
func (f *folder) write(name string, text []byte) error {
	path := filepath.Join(f.dir, name)
	if before, err := os.ReadFile(path); err == nil && bytes.Equal(before, text) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), onlyOwnerFolder); err != nil {
		return err
	}
	next := path + ".new"
	if err := os.WriteFile(next, text, onlyOwner); err != nil {
		return err
	}
	return os.Rename(next, path)
}
