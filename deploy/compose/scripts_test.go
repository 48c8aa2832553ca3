package compose

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// scripts is a copy of the scripts and of the project, beside a docker that writes down how it is called. What docker does
// beyond that is the text of a shell script.
func scripts(t *testing.T, docker string) (start, stop func(args ...string) (string, error), calls func() string) {
	t.Helper()
	deploy := filepath.Dir(withSecrets(t))
	if err := os.CopyFS(filepath.Join(deploy, "scripts"), os.DirFS("../scripts")); err != nil {
		t.Fatal(err)
	}
	bin, log := t.TempDir(), filepath.Join(t.TempDir(), "calls")
	text := "#!/bin/sh\necho \"$@\" >>" + log + "\n" + docker + "\n"
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte(text), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	run := func(name string) func(args ...string) (string, error) {
		return func(args ...string) (string, error) {
			cmd := exec.CommandContext(t.Context(), filepath.Join(deploy, "scripts", name), args...)
			cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
	}
	return run("start.sh"), run("stop.sh"), func() string {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

func TestS30StartAndStop(t *testing.T) {
	start, stop, calls := scripts(t, `case "$*" in
  "compose port"*) echo 127.0.0.1:8080 ;;
  run*)
    while [ "$1" != /certs ]; do shift; done
    shift
    mkdir -p "certs/${2:-ca}"
    for file in tls.crt tls.key ca.crt ca.key; do echo x >"certs/${2:-ca}/$file"; done ;;
esac`)
	if out, err := start(); err != nil || !strings.Contains(out, "http://127.0.0.1:8080/") {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.Contains(calls(), "compose up --detach --build --wait") {
		t.Errorf("docker was called so:\n%s", calls())
	}
	if !strings.Contains(calls(), "littlevote certs --dir /certs renew") {
		t.Errorf("certificates are not renewed:\n%s", calls())
	}
	// The log of one broker and that of three have nothing in common.
	if out, err := start("--profile", "kafka-cluster"); err == nil || !strings.Contains(out, "--clean") {
		t.Errorf("the brokers changed under the votes: %v: %s", err, out)
	}
	if out, err := stop("--clean"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.Contains(calls(), "down --remove-orphans --volumes") {
		t.Errorf("docker was called so:\n%s", calls())
	}
	if out, err := start("--profile", "kafka-cluster"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.Contains(calls(), "compose --env-file .env --env-file kafka-cluster.env up") {
		t.Errorf("docker was called so:\n%s", calls())
	}
	// Whoever started three brokers need not say it again.
	if out, err := start(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if n := strings.Count(calls(), "--env-file kafka-cluster.env up"); n != 2 {
		t.Errorf("the second start was another one:\n%s", calls())
	}
}

func TestScriptsSayWhatIsMissing(t *testing.T) {
	start, stop, _ := scripts(t, `case "$1" in info) exit 1;; esac`)
	if out, err := start(); err == nil || !strings.Contains(out, "docker does not answer") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := start("--profile", "three"); err == nil || !strings.Contains(out, "expected kafka-cluster, got 'three'") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := stop("--purge"); err == nil || !strings.Contains(out, "there is --clean") {
		t.Errorf("%v: %s", err, out)
	}
}
