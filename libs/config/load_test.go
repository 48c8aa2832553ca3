package config

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// sample has a setting of every type.
type sample struct {
	Dev
	Name   string  `key:"name" help:"text"`
	Ratio  float64 `key:"ratio" help:"number"`
	Total  int64   `key:"total" help:"number"`
	Ticket struct {
		Cap     int           `key:"cap" help:"number"`
		LockTTL time.Duration `key:"lock-ttl" help:"time"`
	} `key:"ticket"`
	Hosts    []string   `key:"hosts" help:"texts"`
	Level    slog.Level `key:"log.level" help:"a type that reads itself"`
	Password string     `key:"password" help:"a secret" secret:"true"`
	NoKey    string
}

func newSample() *sample {
	s := &sample{Name: "default", Ratio: 0.5, Hosts: []string{"a:1"}, NoKey: "kept"}
	s.Ticket.Cap = 1000
	s.Ticket.LockTTL = 3 * time.Second
	return s
}

// load binds the targets, parses args and loads; yaml is the text of the file, "" for none.
func load(t *testing.T, args, environ []string, yaml string, targets ...any) (*Loader, error) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	loader, err := Bind(flags, targets...)
	if err != nil {
		t.Fatal(err)
	}
	if yaml != "" {
		args = append(args, "--config="+writeFile(t, yaml))
	}
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return loader, loader.Load(environ)
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestLoadTakesEveryTypeFromEveryLayer(t *testing.T) {
	want := &sample{
		Dev: Dev{Dev: true}, Name: "a,b c", Ratio: 1.25, Total: 1 << 60, Hosts: []string{"x:1", "y:2"},
		Level: slog.LevelWarn, Password: "hush", NoKey: "kept",
	}
	want.Ticket.Cap = 7
	want.Ticket.LockTTL = 1500 * time.Millisecond
	tests := map[string]struct {
		args, environ []string
		yaml          string
	}{
		"flags": {args: []string{
			"--dev", "--name=a,b c", "--ratio=1.25", "--total=1152921504606846976", "--ticket-cap=7", "--ticket-lock-ttl=1.5s",
			"--hosts=x:1", "--hosts=y:2", "--log-level=warn", "--password=hush",
		}},
		"environment": {environ: []string{
			"LITTLEVOTE_DEV=true", "LITTLEVOTE_NAME=a,b c", "LITTLEVOTE_RATIO=1.25", "LITTLEVOTE_TOTAL=1152921504606846976",
			"LITTLEVOTE_TICKET_CAP=7", "LITTLEVOTE_TICKET_LOCK_TTL=1500ms", "LITTLEVOTE_HOSTS=x:1, y:2",
			"LITTLEVOTE_LOG_LEVEL=WARN", "LITTLEVOTE_PASSWORD=hush", "PATH=/bin", "LITTLEVOTE_TEST_REDIS_URL=redis://x",
		}},
		"nested file": {yaml: `
dev: true
name: a,b c
ratio: 1.25
total: 1152921504606846976
ticket:
  cap: 7
  lock-ttl: 1.5s
hosts: ["x:1", "y:2"]
log: {level: warn}
password: hush
`},
		"dotted file": {yaml: `
dev: "true"
name: "a,b c"
ratio: 1.25
total: 1152921504606846976
ticket.cap: 7
ticket:
  lock-ttl: &ttl 1.5s
hosts: x:1,y:2
log.level: warn
password: hush
`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := newSample()
			if _, err := load(t, test.args, test.environ, test.yaml, got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLoadOrderOfLayers(t *testing.T) {
	const yaml = "name: file\nticket.cap: 1\ntotal: 1\nratio: 1\n"
	environ := []string{"LITTLEVOTE_NAME=environment", "LITTLEVOTE_TICKET_CAP=2", "LITTLEVOTE_TOTAL=2"}
	got := newSample()
	if _, err := load(t, []string{"--name=", "--ticket-cap=3"}, environ, yaml, got); err != nil {
		t.Fatal(err)
	}
	want := newSample()
	want.Name, want.Ticket.Cap, want.Total, want.Ratio = "", 3, 2, 1
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLoadWithoutLayersKeepsDefaults(t *testing.T) {
	for name, yaml := range map[string]string{"no file": "", "empty file": "# nothing\n", "empty groups": "ticket:\nlog:\n"} {
		t.Run(name, func(t *testing.T) {
			got := newSample()
			if _, err := load(t, nil, nil, yaml, got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(newSample(), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLoadEmptyList(t *testing.T) {
	tests := map[string]struct {
		args, environ []string
		yaml          string
	}{
		"flag":        {args: []string{"--hosts="}},
		"environment": {environ: []string{"LITTLEVOTE_HOSTS="}},
		"file":        {yaml: "hosts: []\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := newSample()
			if _, err := load(t, test.args, test.environ, test.yaml, got); err != nil {
				t.Fatal(err)
			}
			if len(got.Hosts) != 0 {
				t.Errorf("hosts = %q, want none", got.Hosts)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	tests := map[string]struct {
		args, environ []string
		yaml          string
		want          []string // each in the error
		not           string   // never in the error
	}{
		"unknown key":              {yaml: "a: 1\nticket: {cop: 5}\n", want: []string{`settings.yaml:1: unknown key "a"`, `:2: unknown key "ticket.cop"`}},
		"unknown dotted key":       {yaml: "ticket.cop: 5\n", want: []string{`unknown key "ticket.cop"`}},
		"unknown variable":         {environ: []string{"LITTLEVOTE_NAM=x"}, want: []string{"LITTLEVOTE_NAM: unknown variable"}},
		"variable of a group":      {environ: []string{"LITTLEVOTE_TICKET=x"}, want: []string{"LITTLEVOTE_TICKET: unknown variable"}},
		"key under a value":        {yaml: "name: {x: 1}\n", want: []string{`:1: key "name": expected a value`}},
		"value for a group":        {yaml: "ticket: 5\n", want: []string{`:1: expected keys under "ticket"`}},
		"list for a value":         {yaml: "name: [a]\n", want: []string{"name: expected one value, not a list"}},
		"list of maps":             {yaml: "hosts: [{a: b}]\n", want: []string{`key "hosts": expected a list of texts`}},
		"nothing for a value":      {yaml: "name:\n", want: []string{`key "name": expected a value`}},
		"key twice":                {yaml: "ticket: {cap: 1}\nticket.cap: 2\n", want: []string{`:2: key "ticket.cap" is given twice, first in`}},
		"two documents":            {yaml: "name: a\n---\nname: b\n", want: []string{"expected one YAML document"}},
		"a list as file":           {yaml: "- a\n", want: []string{"expected keys"}},
		"no YAML":                  {yaml: "a: [\n", want: []string{"settings.yaml: yaml:"}},
		"an anchor in itself":      {yaml: "ticket: &t {ticket: *t}\n", want: []string{`unknown key "ticket.ticket"`}},
		"no such file":             {args: []string{"--config=/does/not/exist"}, want: []string{"--config: open /does/not/exist"}},
		"no such file by variable": {environ: []string{"LITTLEVOTE_CONFIG=/does/not/exist"}, want: []string{"/does/not/exist"}},
		"word for int":             {args: []string{"--ticket-cap=many"}, want: []string{`ticket.cap: expected a whole number, got "many" (--ticket-cap)`}},
		"float for int":            {yaml: "ticket.cap: 1e3\n", want: []string{`ticket.cap: expected a whole number, got "1e3"`, "settings.yaml:1"}},
		"int too large":            {args: []string{"--total=9223372036854775808"}, want: []string{"total: expected a whole number"}},
		"number for duration":      {yaml: "ticket: {lock-ttl: 5}\n", want: []string{`ticket.lock-ttl: expected a duration such as 500ms, 2s or 1h30m, got "5"`}},
		"empty duration":           {environ: []string{"LITTLEVOTE_TICKET_LOCK_TTL="}, want: []string{`got "" (LITTLEVOTE_TICKET_LOCK_TTL)`}},
		"word for bool":            {args: []string{"--dev=perhaps"}, want: []string{"dev: expected true or false"}},
		"no finite number":         {args: []string{"--ratio=NaN"}, want: []string{"ratio: expected a number"}},
		"infinite number":          {args: []string{"--ratio=-Inf"}, want: []string{"ratio: expected a number"}},
		"bad text type":            {args: []string{"--log-level=loud"}, want: []string{"log.level: expected a readable slog.Level", `got "loud"`}},
		"list for a secret":        {yaml: "password: [hush]\n", want: []string{"password: expected one value"}, not: "hush"},
		"bad value that loses":     {args: []string{"--ticket-cap=5"}, environ: []string{"LITTLEVOTE_TICKET_CAP=x"}, want: []string{"(LITTLEVOTE_TICKET_CAP)"}},
		"all errors at once":       {args: []string{"--ratio=x"}, environ: []string{"LITTLEVOTE_X=1"}, yaml: "y: 1\n", want: []string{"ratio:", "LITTLEVOTE_X:", `"y"`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, test.args, test.environ, test.yaml, newSample())
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not contain %q", err, want)
				}
			}
			if test.not != "" && strings.Contains(err.Error(), test.not) {
				t.Errorf("error %q contains %q", err, test.not)
			}
		})
	}
}

// secretLevel is a text type that repeats what it was given.
type secretLevel struct {
	Level slog.Level `key:"level" help:"secret" secret:"true"`
}

func TestLoadHidesSecretsThatReadThemselves(t *testing.T) {
	_, err := load(t, []string{"--level=hush"}, nil, "", &secretLevel{})
	if err == nil || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "level: expected a readable slog.Level") {
		t.Errorf("error = %v", err)
	}
}

func TestConfigFileByVariable(t *testing.T) {
	byVariable := writeFile(t, "name: variable\n")
	got := newSample()
	if _, err := load(t, nil, []string{"LITTLEVOTE_CONFIG=" + byVariable}, "", got); err != nil || got.Name != "variable" {
		t.Errorf("name = %q, err = %v, want the file of the variable", got.Name, err)
	}
	got = newSample()
	if _, err := load(t, nil, []string{"LITTLEVOTE_CONFIG=" + byVariable}, "name: flag\n", got); err != nil || got.Name != "flag" {
		t.Errorf("name = %q, err = %v, want the file of the flag", got.Name, err)
	}
}

func TestTargetsShareKeys(t *testing.T) {
	type redisUser struct {
		Redis Redis `key:"redis"`
	}
	first := &redisUser{Redis: Redis{URL: "redis://first", PoolSize: 5, Timeout: time.Second}}
	second := &redisUser{Redis: Redis{URL: "redis://second", PoolSize: 6, Timeout: time.Second}}
	if _, err := load(t, []string{"--redis-timeout=2s"}, nil, "", first, second); err != nil {
		t.Fatal(err)
	}
	want := &redisUser{Redis: Redis{URL: "redis://first", PoolSize: 5, Timeout: 2 * time.Second}}
	for _, got := range []*redisUser{first, second} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	second.Redis.URL = "changed"
	if first.Redis.URL != "redis://first" {
		t.Error("the targets share memory")
	}
}
