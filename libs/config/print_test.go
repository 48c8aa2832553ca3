package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPrintShowsWhatIsInEffect(t *testing.T) {
	target := newSample()
	loader, err := load(t, []string{"--password=hush", "--hosts=redis://u:hush@h:1,b"}, []string{"LITTLEVOTE_TICKET_CAP=9"}, "", target)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := loader.Print(&out); err != nil {
		t.Fatal(err)
	}
	want := `dev: false
hosts:
    - redis://u:[hidden]@h:1
    - b
log:
    level: INFO
name: default
password: '[hidden]'
ratio: 0.5
ticket:
    cap: 9
    lock-ttl: 3s
total: 0
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	if target.Hosts[0] != "redis://u:hush@h:1" {
		t.Errorf("printing changed the settings: %q", target.Hosts)
	}
}

func TestPrintCanBeLoadedAgain(t *testing.T) {
	first := newSample()
	loader, err := load(t, []string{"--name=true", "--ticket-lock-ttl=90s", "--hosts="}, nil, "", first)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := loader.Print(&out); err != nil {
		t.Fatal(err)
	}
	second := newSample()
	if _, err := load(t, nil, nil, out.String(), second); err != nil {
		t.Fatal(err)
	}
	first.Hosts = []string{} // An empty list comes back as one.
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error(diff)
	}
}

func TestRedactURL(t *testing.T) {
	tests := map[string]string{
		"plain text":                         "plain text",
		"host:1":                             "host:1",
		"redis://h:6379/0":                   "redis://h:6379/0",
		"redis://u@h:6379/0":                 "redis://u@h:6379/0",
		"redis://:pw@h:6379/0":               "redis://:[hidden]@h:6379/0",
		"postgres://u:p@w/:x@h1:1,h2:2/d?a":  "postgres://u:[hidden]@h1:1,h2:2/d?a",
		"postgres://h/d?user=u&password=p&a": "postgres://h/d?user=u&password=[hidden]&a",
		"postgres://h/d?sslpassword=p":       "postgres://h/d?sslpassword=[hidden]",
		`host=h password='a \'b' user=u`:     "host=h password=[hidden] user=u",
		"host=h Password = p user=u":         "host=h Password = [hidden] user=u",
		"x postgres://u:%zz@h y":             "x postgres://u:[hidden]@h y",
	}
	for text, want := range tests {
		if got := redactURL(text); got != want {
			t.Errorf("redactURL(%q) = %q, want %q", text, got, want)
		}
	}
}
