package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/littlevote/littlevote/tools/e2e/internal/fixture"
	"github.com/littlevote/littlevote/tools/internal/process"
	"github.com/littlevote/littlevote/tools/internal/system"
)

// programs are the services, and the all-in-one.
func programs() map[string][]string {
	all := map[string][]string{"littlevote": {"up"}}
	for _, kind := range system.Kinds() {
		all[string(kind)] = nil
	}
	return all
}

func TestS19UnknownKeysStopTheStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(file, []byte("log:\n  level: INFO\n  colour: red\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for program, args := range programs() {
		for name, test := range map[string]struct {
			args, env []string
			key       string
		}{
			"file":     {args: []string{"--config", file}, key: "log.colour"},
			"variable": {env: []string{"LITTLEVOTE_LOG_COLOUR=red"}, key: "LITTLEVOTE_LOG_COLOUR"},
			"flag":     {args: []string{"--log-colour=red"}, key: "log-colour"},
		} {
			t.Run(program+" "+name, func(t *testing.T) {
				p := process.Start(t, process.Command{
					Name: program, Program: filepath.Join(fixture.Programs(t), program), Dir: t.TempDir(), Args: append(append([]string{}, args...), test.args...), Env: test.env,
				})
				code, err := p.Wait(20 * time.Second)
				if err != nil || code != 2 || !strings.Contains(p.Stderr(), test.key) {
					t.Errorf("exit code %d, %v, want 2 and %s:\n%s", code, err, test.key, p.Stderr())
				}
			})
		}
	}
}

func TestPrintConfigHidesSecrets(t *testing.T) {
	const secret = "hunter2"
	urls := map[string]string{
		"LITTLEVOTE_REDIS_URL":    "redis://user:" + secret + "@localhost:6379/0",
		"LITTLEVOTE_POSTGRES_URL": "postgres://user:" + secret + "@localhost/votes",
	}
	stores := map[string][]string{
		"littlevote": {"LITTLEVOTE_REDIS_URL", "LITTLEVOTE_POSTGRES_URL"}, "persister": {"LITTLEVOTE_POSTGRES_URL"}, "gateway": nil,
	}
	for program, args := range programs() {
		t.Run(program, func(t *testing.T) {
			names, special := stores[program]
			if !special {
				names = stores["littlevote"]
			}
			var env []string
			for _, name := range names {
				env = append(env, name+"="+urls[name])
			}
			p := process.Start(t, process.Command{
				Name: program, Program: filepath.Join(fixture.Programs(t), program), Dir: t.TempDir(), Args: append(append([]string{}, args...), "--print-config"), Env: env,
			})
			code, err := p.Wait(20 * time.Second)
			output := p.Stdout()
			if err != nil || code != 0 || !strings.Contains(output, "listen:") {
				t.Errorf("exit code %d, %v:\n%s%s", code, err, output, p.Stderr())
			}
			if strings.Contains(output+p.Stderr(), secret) || strings.Count(output, ":[hidden]@localhost") != len(names) {
				t.Errorf("printed:\n%s", output)
			}
		})
	}
}
