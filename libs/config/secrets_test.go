package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// secretFile holds one value.
func secretFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "value")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestValuesFromFiles: any setting may stand in a file that its variable with _FILE names.
func TestValuesFromFiles(t *testing.T) {
	s := newSample()
	loader, err := load(t, []string{"--hosts=flag:1"}, []string{
		"LITTLEVOTE_PASSWORD_FILE=" + secretFile(t, "hunter2\r\n"),
		"LITTLEVOTE_NAME_FILE=" + secretFile(t, " redis://h:1 \n\n"),
		"LITTLEVOTE_TICKET_LOCK_TTL_FILE=" + secretFile(t, "7s"),
		"LITTLEVOTE_TOTAL_FILE=" + secretFile(t, "42\n"),
		"LITTLEVOTE_HOSTS_FILE=" + secretFile(t, "a:1, b:2\n"),
		"LITTLEVOTE_KAFKA_PASSWORD_FILE=/not/ours", // another service's
	}, "name: yaml", s)
	if err != nil {
		t.Fatal(err)
	}
	if s.Password != "hunter2" || s.Name != " redis://h:1 " || s.Ticket.LockTTL != 7*time.Second || s.Total != 42 || s.Hosts[0] != "flag:1" {
		t.Errorf("%+v", s)
	}
	var out strings.Builder
	if err := loader.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hunter2", "redis", "42", "7s"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("--print-config shows %q, which came from a file:\n%s", secret, out.String())
		}
	}
}

func TestValuesFromFilesThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		environ []string
		want    []string
	}{
		"both forms":      {[]string{"LITTLEVOTE_PASSWORD=hunter2", "LITTLEVOTE_PASSWORD_FILE=" + secretFile(t, "hunter3")}, []string{"password: expected one of", "LITTLEVOTE_PASSWORD_FILE"}},
		"the other order": {[]string{"LITTLEVOTE_PASSWORD_FILE=" + secretFile(t, "hunter3"), "LITTLEVOTE_PASSWORD=hunter2"}, []string{"password: expected one of"}},
		"no file":         {[]string{"LITTLEVOTE_PASSWORD_FILE=/does/not/exist"}, []string{"password: expected a readable file", "/does/not/exist", "LITTLEVOTE_PASSWORD_FILE"}},
		"no name":         {[]string{"LITTLEVOTE_PASSWORD_FILE="}, []string{"password: expected the name of a file"}},
		"a folder":        {[]string{"LITTLEVOTE_PASSWORD_FILE=" + t.TempDir()}, []string{"password: expected a readable file"}},
		"too much":        {[]string{"LITTLEVOTE_PASSWORD_FILE=" + secretFile(t, strings.Repeat("hunter", maxValue))}, []string{"password:", "at most"}},
		"no number":       {[]string{"LITTLEVOTE_TOTAL_FILE=" + secretFile(t, "hunter2")}, []string{"total: expected a whole number", "LITTLEVOTE_TOTAL_FILE"}},
		"no level":        {[]string{"LITTLEVOTE_LOG_LEVEL_FILE=" + secretFile(t, "hunter2")}, []string{"log.level: expected"}},
		"not valid":       {[]string{"LITTLEVOTE_ADMIN_LISTEN_FILE=" + secretFile(t, `hunter"2`)}, []string{"admin.listen: expected host:port", hidden}},
		"unknown":         {[]string{"LITTLEVOTE_NO_SUCH_THING_FILE=" + secretFile(t, "hunter2")}, []string{"LITTLEVOTE_NO_SUCH_THING_FILE: unknown variable"}},
	} {
		t.Run(name, func(t *testing.T) {
			var group struct {
				Admin Admin `key:"admin"`
			}
			group.Admin.Listen = "127.0.0.1:1"
			_, err := load(t, nil, test.environ, "", newSample(), &group)
			if err == nil {
				t.Fatal("it was accepted")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v, want %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "hunter") {
				t.Errorf("the error shows what stands in the file: %v", err)
			}
		})
	}
}

// TestNamesOfFilesAreOfOneMeaning: no setting's variable is another's with _FILE.
func TestNamesOfFilesAreOfOneMeaning(t *testing.T) {
	for _, key := range AllKeys() {
		if elsewhere.variables[variableOf(key)+fileSuffix] {
			t.Errorf("the variable %s%s has two meanings", variableOf(key), fileSuffix)
		}
	}
	var clash struct {
		A string `key:"ca" help:"x"`
		B string `key:"ca-file" help:"x"`
	}
	var reverse struct {
		B string `key:"ca-file" help:"x"`
		A string `key:"ca" help:"x"`
	}
	for _, target := range []any{&clash, &reverse} {
		if _, err := Bind(pflag.NewFlagSet("test", pflag.ContinueOnError), target); err == nil || !strings.Contains(err.Error(), "ca-file") {
			t.Errorf("two settings for one variable: %v", err)
		}
	}
}
