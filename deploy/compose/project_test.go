package compose

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// way is one way to start the project.
type way struct {
	name     string
	profile  string
	files    []string
	envFiles []string
	brokers  []string
}

// ways are those that start.sh has.
var ways = []way{
	{name: "one broker", profile: "kafka-single", files: []string{"compose.yaml"}, envFiles: []string{".env"}, brokers: []string{"kafka"}},
	{
		name: "three brokers", profile: "kafka-cluster", files: []string{"compose.yaml"}, envFiles: []string{".env", "kafka-cluster.env"},
		brokers: []string{"kafka-1", "kafka-2", "kafka-3"},
	},
}

// each runs a test on every way to start the project, as Compose's own library loads and checks it, with fresh secrets.
func each(t *testing.T, test func(t *testing.T, w way, p *types.Project)) {
	t.Helper()
	dir := withSecrets(t)
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) { test(t, w, load(t, dir, w)) })
	}
}

// certs stands for `littlevote certs`.
const certs = `#!/bin/sh
case $1 in
  init) mkdir -p certs/ca && echo key >certs/ca/ca.key ;;
  issue) mkdir -p "certs/$2" && for file in tls.crt tls.key ca.crt; do echo "$*" >"certs/$2/$file"; done ;;
esac
`

// withSecrets is a copy of what Compose reads, in which the secrets have been made.
func withSecrets(t *testing.T) string {
	t.Helper()
	deploy := t.TempDir()
	for _, part := range []string{"compose", "observability"} {
		if err := os.CopyFS(filepath.Join(deploy, part), os.DirFS("../"+part)); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(deploy, "compose")
	if err := os.RemoveAll(filepath.Join(dir, "secrets")); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "secrets.sh")).CombinedOutput(); err != nil {
		t.Fatalf("secrets.sh: %v\n%s", err, out)
	}
	program := filepath.Join(deploy, "certs")
	if err := os.WriteFile(program, []byte(certs), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "certs.sh"), program).CombinedOutput(); err != nil {
		t.Fatalf("certs.sh: %v\n%s", err, out)
	}
	return dir
}

func load(t *testing.T, dir string, w way) *types.Project {
	t.Helper()
	inside := func(names []string) (paths []string) {
		for _, name := range names {
			paths = append(paths, filepath.Join(dir, name))
		}
		return paths
	}
	options, err := cli.NewProjectOptions(inside(w.files),
		cli.WithWorkingDirectory(dir), cli.WithEnvFiles(inside(w.envFiles)...), cli.WithDotEnv, cli.WithDefaultProfiles())
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(project.Profiles, w.profile) {
		t.Fatalf("the profiles are %v", project.Profiles)
	}
	return project
}

// ours are the services that run our programs, the migration among them.
func ours(p *types.Project) map[string]types.ServiceConfig {
	out := map[string]types.ServiceConfig{}
	for name, s := range p.Services {
		if strings.HasPrefix(s.Image, "littlevote:") {
			out[name] = s
		}
	}
	return out
}

// stores are the services that hold data.
func stores(p *types.Project) []string {
	var out []string
	for name := range p.Services {
		for _, kind := range []string{"postgres", "redis", "sentinel", "kafka"} {
			if strings.HasPrefix(name, kind) {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}

func TestS30AllParts(t *testing.T) {
	each(t, func(t *testing.T, w way, p *types.Project) {
		for _, kind := range []string{"gateway", "ticket-service", "vote-service", "query-service", "persister", "blog-service"} {
			for _, replica := range []string{"-1", "-2"} {
				if s := p.Services[kind+replica]; !slices.Equal(s.Command, []string{kind}) {
					t.Errorf("%s%s runs %q", kind, replica, s.Command)
				}
			}
		}
		want := slices.Concat([]string{"postgres", "postgres-replica", "redis-1", "redis-2", "sentinel-1", "sentinel-2", "sentinel-3"}, w.brokers)
		slices.Sort(want)
		if got := stores(p); !slices.Equal(got, want) {
			t.Errorf("the stores are %v, want %v", got, want)
		}
		for _, name := range []string{"load-balancer", "migrate", "collector", "jaeger", "prometheus", "grafana"} {
			if _, there := p.Services[name]; !there {
				t.Errorf("there is no %s", name)
			}
		}
	})
}

// Compose finds out that a file is missing when the first container starts.
func TestEveryFileIsThere(t *testing.T) {
	each(t, func(t *testing.T, _ way, p *types.Project) {
		var files []string
		for _, c := range p.Configs {
			files = append(files, c.File)
		}
		for _, s := range p.Secrets {
			files = append(files, s.File)
		}
		for name, s := range p.Services {
			for _, v := range s.Volumes {
				if v.Type == types.VolumeTypeBind {
					files = append(files, v.Source)
				}
			}
			for _, c := range s.Configs {
				if _, known := p.Configs[c.Source]; !known {
					t.Errorf("%s mounts the config %s, which is not there", name, c.Source)
				}
			}
		}
		for _, file := range files {
			if info, err := os.Stat(file); err != nil || info.Size() == 0 {
				t.Errorf("%s: %v", file, err)
			}
		}
	})
}

// What a service waits for must be able to happen.
func TestDependenciesTellWhenTheyAreReady(t *testing.T) {
	each(t, func(t *testing.T, _ way, p *types.Project) {
		for name, s := range p.Services {
			for on, d := range s.DependsOn {
				target, there := p.Services[on]
				switch {
				case !there && d.Required:
					t.Errorf("%s waits for %s, which is not there", name, on)
				case there && d.Condition == types.ServiceConditionHealthy && (target.HealthCheck == nil || len(target.HealthCheck.Test) == 0):
					t.Errorf("%s waits until %s is healthy, which nobody looks at", name, on)
				case there && d.Condition == types.ServiceConditionCompletedSuccessfully && target.Restart == types.RestartPolicyUnlessStopped:
					t.Errorf("%s waits for the end of %s, which never ends", name, on)
				}
			}
		}
		for name, s := range ours(p) {
			if name == "migrate" {
				continue
			}
			admin := strings.TrimPrefix(*s.Environment["LITTLEVOTE_ADMIN_LISTEN"], "0.0.0.0")
			if probe := "http://127.0.0.1" + admin + "/readyz"; !slices.Contains(s.HealthCheck.Test, probe) {
				t.Errorf("%s is healthy by %q, want %s", name, s.HealthCheck.Test, probe)
			}
		}
	})
}

func TestPortsDoNotCollide(t *testing.T) {
	each(t, func(t *testing.T, _ way, p *types.Project) {
		taken := map[string]string{}
		for name, s := range p.Services {
			for _, port := range s.Ports {
				if other, twice := taken[port.Published]; twice {
					t.Errorf("%s and %s both want port %s", name, other, port.Published)
				}
				taken[port.Published] = name
				if port.HostIP != "127.0.0.1" {
					t.Errorf("%s is open to %q unless somebody says otherwise", name, port.HostIP)
				}
			}
		}
		for _, name := range append(stores(p), "collector") {
			if len(p.Services[name].Ports) > 0 {
				t.Errorf("%s can be reached from outside", name)
			}
		}
		if len(taken) != 4 {
			t.Errorf("published are %v; want votes, Jaeger, Prometheus and Grafana", taken)
		}
	})
}

func TestContainersHaveOnlyWhatTheyNeed(t *testing.T) {
	each(t, func(t *testing.T, _ way, p *types.Project) {
		for name, s := range p.Services {
			_, tag, _ := strings.Cut(s.Image[strings.LastIndex(s.Image, "/")+1:], ":")
			if !strings.ContainsAny(tag, "0123456789") {
				t.Errorf("%s: image %s has no version", name, s.Image)
			}
			if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || s.Privileged ||
				!slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
				t.Errorf("%s may do more than it needs to", name)
			}
			if s.Restart == "" || s.Deploy == nil || s.Deploy.Resources.Limits == nil || s.Deploy.Resources.Limits.MemoryBytes == 0 || s.Deploy.Resources.Limits.NanoCPUs == 0 {
				t.Errorf("%s has no bounds, or is not started again", name)
			}
			// Ours have their user in the image.
			if _, own := ours(p)[name]; !own && (s.User == "" || strings.HasPrefix(s.User, "0")) {
				t.Errorf("%s runs as user %q", name, s.User)
			}
		}
	})
}

func TestNetworksSeparate(t *testing.T) {
	each(t, func(t *testing.T, _ way, p *types.Project) {
		in := func(network string) []string {
			var names []string
			for name, s := range p.Services {
				if _, there := s.Networks[network]; there {
					names = append(names, name)
				}
			}
			slices.Sort(names)
			return names
		}
		if got, want := in("front"), []string{"gateway-1", "gateway-2", "load-balancer"}; !slices.Equal(got, want) {
			t.Errorf("X-Forwarded-For is believed of %v, want %v", got, want)
		}
		front := p.Networks["front"].Ipam.Config[0].Subnet
		if got := *p.Services["gateway-1"].Environment["LITTLEVOTE_GATEWAY_TRUSTED_PROXIES"]; got != front {
			t.Errorf("the gateways trust %s, the load balancer is in %s", got, front)
		}
		for _, name := range stores(p) {
			if networks := p.Services[name].Networks; len(networks) != 1 || !p.Networks["stores"].Internal {
				t.Errorf("%s is in %d networks", name, len(networks))
			} else if _, there := networks["stores"]; !there {
				t.Errorf("%s is in %v", name, networks)
			}
		}
		for _, name := range in("stores") {
			if _, own := ours(p)[name]; !own && !slices.Contains(stores(p), name) {
				t.Errorf("%s reaches the stores", name)
			}
		}
	})
}

func TestNoSecretIsInside(t *testing.T) {
	each(t, func(t *testing.T, _ way, p *types.Project) {
		text, err := p.MarshalYAML()
		if err != nil {
			t.Fatal(err)
		}
		for name, s := range p.Secrets {
			secret, err := os.ReadFile(s.File)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(text, bytes.TrimSpace(secret)) {
				t.Errorf("%s is in the project", name)
			}
			if info, err := os.Stat(filepath.Dir(s.File)); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("who may look into %s: %v, %v", filepath.Dir(s.File), info.Mode(), err)
			}
		}
		for name, s := range p.Services {
			for variable, value := range s.Environment {
				secret := strings.Contains(variable, "PASSWORD") || strings.HasSuffix(variable, "_URL")
				if secret && value != nil && !strings.HasPrefix(*value, "/") {
					t.Errorf("%s: %s is given as %q, not as a file", name, variable, *value)
				}
			}
		}
	})
	ignored, err := os.ReadFile(".gitignore")
	if err != nil || !slices.Contains(strings.Fields(string(ignored)), "/secrets/") {
		t.Errorf("git ignores %q: %v", ignored, err)
	}
}

// A second start keeps the secrets: the stores were made with them.
func TestSecretsAreMadeOnce(t *testing.T) {
	dir := withSecrets(t)
	before, err := os.ReadFile(filepath.Join(dir, "secrets", "postgres-password"))
	if err != nil || len(bytes.TrimSpace(before)) < 32 {
		t.Fatalf("%q, %v", before, err)
	}
	if err := os.Remove(filepath.Join(dir, "secrets", "grafana-password")); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "secrets.sh")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	after, err := os.ReadFile(filepath.Join(dir, "secrets", "postgres-password"))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the password of Postgres changed: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "secrets", "grafana-password")); err != nil {
		t.Error(err)
	}
}
