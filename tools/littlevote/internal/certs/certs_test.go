package certs

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/service"
)

// run is one command line.
func run(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	cmd := Command()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetOut(&out)
	cmd.SetArgs(append(args, "--dir="+dir))
	err := cmd.Execute()
	return out.String(), err
}

func must(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := run(t, dir, args...)
	if err != nil {
		t.Fatalf("certs %v: %v", args, err)
	}
	return out
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// opens says whether a process can use the files of a name.
func opens(t *testing.T, dir, name string) {
	t.Helper()
	in := filepath.Join(dir, name)
	files := config.TLS{CertFile: filepath.Join(in, leafCert), KeyFile: filepath.Join(in, leafKey), CAFile: filepath.Join(in, caCert)}
	if _, err := service.ClientTLS(files, slog.New(slog.DiscardHandler)); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

func TestIssueForAllKinds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	must(t, dir, "init")
	must(t, dir, "issue", "--host=vote.example.org")
	must(t, dir, "issue", "redis", "--no-kind")
	all, err := (&folder{dir: dir}).certificates()
	if err != nil || len(all) != len(service.Kinds())+1 {
		t.Fatalf("%d certificates, %v", len(all), err)
	}
	for _, one := range all {
		opens(t, dir, one.name)
		if one.name == "redis" {
			if len(one.leaf.URIs) != 0 {
				t.Errorf("a store is said to be %v", one.leaf.URIs)
			}
			continue
		}
		if len(one.leaf.URIs) != 1 || *one.leaf.URIs[0] != *service.Kind(one.name).URI() || one.leaf.VerifyHostname("vote.example.org") != nil {
			t.Errorf("%s: %v at %v", one.name, one.leaf.URIs, one.leaf.DNSNames)
		}
	}
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is for others too: %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if out := must(t, dir, "show"); !strings.Contains(out, "gateway") || !strings.Contains(out, "vote.example.org") {
		t.Errorf("show:\n%s", out)
	}
}

func TestWhatIsRefused(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"issue"}, {"renew"}, {"next-ca"}, {"drop-old-ca"}} {
		if _, err := run(t, dir, args...); err == nil {
			t.Errorf("%v without a CA succeeds", args)
		}
	}
	must(t, dir, "init")
	for _, args := range [][]string{
		{"init"}, {"issue", "root"}, {"issue", "gateway", "--no-kind"}, {"issue", "ca", "--no-kind"}, {"issue", "../x", "--no-kind"},
	} {
		if _, err := run(t, dir, args...); err == nil {
			t.Errorf("%v succeeds", args)
		}
	}
}

func TestRenewWhatIsDue(t *testing.T) {
	dir := t.TempDir()
	f := &folder{dir: dir}
	must(t, dir, "init")
	must(t, dir, "issue", "gateway", "--life=90h")
	must(t, dir, "issue", "operator", "--life=900h")
	before := read(t, dir, "operator", leafCert)
	if out := must(t, dir, "renew"); out != "" {
		t.Errorf("new ones are renewed: %s", out)
	}
	renewed, err := f.renew(false, time.Now().Add(70*time.Hour))
	if err != nil || strings.Join(renewed, " ") != "gateway" {
		t.Errorf("renewed %v, %v, want the gateway's", renewed, err)
	}
	if read(t, dir, "operator", leafCert) != before {
		t.Error("the operator's certificate has changed")
	}
	opens(t, dir, "gateway")
}

// TestNextCA exchanges the CA: at no step does anybody miss a CA that somebody else's certificate is of.
func TestNextCA(t *testing.T) {
	dir := t.TempDir()
	must(t, dir, "init")
	must(t, dir, "issue", "gateway", "vote-service")
	old := read(t, dir, "ca", caCert)
	must(t, dir, "next-ca")
	bundle := read(t, dir, "gateway", caCert)
	if !strings.HasSuffix(bundle, old) || bundle == old || bundle != read(t, dir, "vote-service", caCert) {
		t.Error("the CAs are not both believed by all")
	}
	if _, err := run(t, dir, "drop-old-ca"); err == nil {
		t.Error("the old CA is dropped while its certificates are in use")
	}
	if out := must(t, dir, "renew"); strings.Count(out, "renewed") != 2 {
		t.Errorf("of an old CA, and renewed: %s", out)
	}
	must(t, dir, "drop-old-ca")
	if now := read(t, dir, "gateway", caCert); strings.Contains(now, old) || !strings.HasPrefix(bundle, now) {
		t.Error("not the new CA alone is believed")
	}
	for _, name := range []string{"gateway", "vote-service"} {
		opens(t, dir, name)
	}
}
