package tilt

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.starlark.net/starlark"
)

const offset = 10_000

func local(subcommand string) invocation {
	return invocation{subcommand: subcommand, flags: map[string]starlark.Value{"local": starlark.True}}
}

func mustExecute(t *testing.T, how invocation) *tiltfile {
	t.Helper()
	f, err := execute(t, how)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// runsByItself says whether a resource starts without anybody's click.
func runsByItself(r call) bool { return r.truth("auto_init", true) }

func byName(calls []call, key string) map[string]call {
	out := map[string]call{}
	for _, c := range calls {
		out[c.text(key)] = c
	}
	return out
}

// mustBeOrdered checks that every dependency is there, and that nobody waits for himself.
func mustBeOrdered(t *testing.T, all map[string]call) {
	t.Helper()
	state := map[string]int{}
	var visit func(name string)
	visit = func(name string) {
		if state[name] == 1 {
			t.Errorf("%s waits for itself", name)
		}
		if state[name] != 0 {
			return
		}
		state[name] = 1
		for _, on := range all[name].texts("resource_deps") {
			target, there := all[on]
			if !there || (runsByItself(all[name]) && !runsByItself(target)) {
				t.Errorf("%s waits for %s, which is not there or not started", name, on)
				continue
			}
			visit(on)
		}
		state[name] = 2
	}
	for name := range all {
		visit(name)
	}
}

func TestLocalModeNeedsNoCluster(t *testing.T) {
	for _, subcommand := range []string{"up", "ci"} {
		f := mustExecute(t, local(subcommand))
		if len(f.images)+len(f.k8s)+len(f.yaml) > 0 {
			t.Errorf("tilt %s: containers", subcommand)
		}
		all := byName(f.local, "name")
		if len(all) != len(f.local) {
			t.Errorf("tilt %s: two resources have one name", subcommand)
		}
		mustBeOrdered(t, all)
		for _, name := range []string{"tests", "lint", "bench", "fsck", "jaeger", "generate-proto", "generate-graphql"} {
			if r, there := all[name]; !there || runsByItself(r) {
				t.Errorf("tilt %s: %s is no button", subcommand, name)
			}
		}
	}
}

// `tilt ci` is over when every command has ended well and every server is ready: a server that no probe looks at counts as ready.
func TestCIEndsWithAVote(t *testing.T) {
	f := mustExecute(t, local("ci"))
	all := byName(f.local, "name")
	for name, r := range all {
		if runsByItself(r) && r["serve_cmd"] != nil && r["readiness_probe"] == nil {
			t.Errorf("nobody knows when %s is ready", name)
		}
	}
	vote := all["vote"]
	if !runsByItself(vote) || !slices.Contains(vote.texts("cmd"), "http://127.0.0.1:18080/graphql") {
		t.Errorf("the vote: %v", vote)
	}
	for _, name := range []string{"gateway", "ticket-service", "vote-service", "query-service", "persister", "blog-service"} {
		if !slices.Contains(vote.texts("resource_deps"), name) {
			t.Errorf("the vote does not wait for %s", name)
		}
	}
	if !slices.Contains(all["servers"].texts("serve_cmd"), "--install") {
		t.Error("a machine would wait for somebody to install servers")
	}
	if up := byName(mustExecute(t, local("up")).local, "name"); runsByItself(up["vote"]) || slices.Contains(up["servers"].texts("serve_cmd"), "--install") {
		t.Error("tilt up votes, or installs, unasked")
	}
	if len(f.settings) != 1 {
		t.Errorf("bounds of tilt ci: %v", f.settings)
	}
}

// Tilt stops what it started itself, and kills what that started; a shell would be all that it stops.
func TestServersAreStoppedThemselves(t *testing.T) {
	for _, r := range mustExecute(t, local("up")).local {
		if r["serve_cmd"] == nil {
			continue
		}
		if argv := r.texts("serve_cmd"); len(argv) == 0 || slices.Contains([]string{"sh", "bash"}, filepath.Base(argv[0])) {
			t.Errorf("%s is served by %v", r.text("name"), r["serve_cmd"])
		}
	}
}

func TestServicesListenWhereTiltLooks(t *testing.T) {
	for _, n := range []int{offset, 200} {
		how := local("ci")
		if n != offset {
			how.flags["port-offset"] = starlark.String(strconv.Itoa(n))
		}
		known := keys(t)
		taken := map[string]string{}
		for _, r := range mustExecute(t, how).local {
			env := r.dict("serve_env")
			if env["LITTLEVOTE_ADMIN_LISTEN"] == "" {
				continue
			}
			name := r.text("name")
			for variable, value := range env {
				if !known[variable] && variable != "LITTLEVOTE_CONFIG" {
					t.Errorf("%s: %s is no setting", name, variable)
				}
				if strings.HasSuffix(variable, "_LISTEN") {
					if other, twice := taken[value]; twice {
						t.Errorf("%s and %s both listen on %s", name, other, value)
					}
					taken[value] = name
				}
			}
			get := member(r["readiness_probe"], "http_get")
			probed := fmt.Sprintf("127.0.0.1:%s", member(get, "port"))
			if probed != env["LITTLEVOTE_ADMIN_LISTEN"] || member(get, "path") != starlark.String("/readyz") {
				t.Errorf("%s answers at %s, and is asked at %s", name, env["LITTLEVOTE_ADMIN_LISTEN"], probed)
			}
		}
		if len(taken) != 12 {
			t.Errorf("the services listen on %v", taken)
		}
		mustBeTargets(t, taken, byName(mustExecute(t, how).local, "name")["gateway"].dict("serve_env"))
		for address := range taken {
			_, port, _ := net.SplitHostPort(address)
			if usual, _ := strconv.Atoi(port); usual-n < 8080 || usual-n > 9105 {
				t.Errorf("%s is not %d above the usual port", address, n)
			}
		}
	}
}

// mustBeTargets checks that every target is where somebody listens.
func mustBeTargets(t *testing.T, taken, env map[string]string) {
	t.Helper()
	for variable, want := range map[string]string{
		"LITTLEVOTE_TICKET_TARGET": "ticket-service", "LITTLEVOTE_VOTE_TARGET": "vote-service", "LITTLEVOTE_QUERY_TARGET": "query-service", "LITTLEVOTE_BLOG_TARGET": "blog-service",
	} {
		if taken[env[variable]] != want {
			t.Errorf("at %s=%s is %s", variable, env[variable], taken[env[variable]])
		}
	}
}

// keys are the variables of all settings.
func keys(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../libs/config/keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, key := range strings.Fields(string(text)) {
		known["LITTLEVOTE_"+strings.NewReplacer(".", "_", "-", "_").Replace(strings.ToUpper(key))] = true
	}
	return known
}

// What is watched exists, and what a generator writes is not what it waits for.
func TestWatchedFilesExist(t *testing.T) {
	f := mustExecute(t, local("up"))
	generated := []string{"proto/gen", "gateway/graph/exec", "gateway/graph/model", "gateway/internal/dialect/cast/exec", "gateway/internal/dialect/tiny/exec"}
	for _, r := range f.local {
		for _, path := range r.texts("deps") {
			if _, err := os.Stat(filepath.Join(f.root, path)); err != nil {
				t.Errorf("%s watches %v", r.text("name"), err)
			}
			for _, written := range generated {
				if strings.HasPrefix(r.text("name"), "generate-") && (strings.HasPrefix(written, path+"/") || strings.HasPrefix(path, written)) {
					t.Errorf("%s watches %s, in which it writes", r.text("name"), path)
				}
			}
		}
		for _, argv := range [][]string{r.texts("cmd"), r.texts("serve_cmd")} {
			for _, arg := range argv {
				if strings.HasPrefix(arg, "./") && !strings.Contains(arg, "...") {
					if _, err := os.Stat(filepath.Join(f.root, arg)); err != nil {
						t.Errorf("%s runs %v", r.text("name"), err)
					}
				}
			}
		}
	}
}

func TestWithoutAClusterItSaysHow(t *testing.T) {
	if _, err := execute(t, invocation{subcommand: "up"}); err == nil || !strings.Contains(err.Error(), "tilt up -- --local") {
		t.Errorf("it ended with %v", err)
	}
}
