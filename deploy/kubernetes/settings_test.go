package kubernetes

import (
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"

	"github.com/littlevote/littlevote/gateway"
	"github.com/littlevote/littlevote/libs/config"
	blogservice "github.com/littlevote/littlevote/services/blog-service"
	"github.com/littlevote/littlevote/services/persister"
	queryservice "github.com/littlevote/littlevote/services/query-service"
	ticketservice "github.com/littlevote/littlevote/services/ticket-service"
	voteservice "github.com/littlevote/littlevote/services/vote-service"
)

// settings are what a test wants to know of a program's.
type settings struct {
	listens []string // host:port
	targets []string // of gRPC
	stores  []string // host:port
	trace   string
	files   []string // that it opens
}

// standIns are values for the Secrets that production brings itself.
var standIns = map[string]string{
	"littlevote-redis/url":            "rediss+cluster://user:password@redis.stores.example:6379",
	"littlevote-postgres/url":         "postgres://user:password@postgres.stores.example:5432/littlevote",
	"littlevote-postgres/replica-url": "postgres://user:password@replica.stores.example:5432/littlevote",
}

// loadSettings starts a pod's program up to the point where it has its settings: from the file and the variables that it would
// have, with what it mounts under a directory of the test's.
func loadSettings(t *testing.T, c *cluster, w workload) settings {
	t.Helper()
	container := w.template.Spec.Containers[0]
	root := t.TempDir()
	mount(t, c, w, root)
	environ := []string{}
	for _, env := range container.Env {
		value := env.Value
		if env.ValueFrom != nil && env.ValueFrom.FieldRef != nil {
			value = w.Name + "-0"
		}
		if strings.HasPrefix(env.Name, "LITTLEVOTE_") && strings.HasPrefix(value, "/") {
			value = filepath.Join(root, value)
		}
		environ = append(environ, env.Name+"="+value)
	}
	read := func(targets ...any) {
		t.Helper()
		var own struct {
			Log config.Log `key:"log"`
		}
		loader, err := config.Bind(pflag.NewFlagSet(w.Name, pflag.ContinueOnError), append(targets, &own)...)
		if err != nil {
			t.Fatal(err)
		}
		if err := loader.Load(environ); err != nil {
			t.Fatalf("%s: %v", w, err)
		}
	}
	out := open(t, program(container), read)
	for i, file := range out.files { // those that variables name, as against the settings file
		out.files[i] = strings.TrimPrefix(file, root)
	}
	return out
}

// open reads the settings of a program into its own structure.
func open(t *testing.T, name string, read func(targets ...any)) settings {
	t.Helper()
	switch name {
	case "gateway":
		cfg := gateway.DefaultConfig()
		read(&cfg)
		return settings{
			listens: addresses(cfg.Listen, cfg.Admin.Listen, cfg.Gateway.CastListen, cfg.Gateway.TinyListen),
			targets: []string{cfg.Ticket.Target, cfg.Vote.Target, cfg.Query.Target, cfg.Blog.Target},
			stores:  hosts(t, cfg.Redis.URL),
			trace:   cfg.Trace.Endpoint,
			files:   addresses(cfg.Ticket.KeyFile, cfg.TLS.CertFile, cfg.TLS.KeyFile, cfg.TLS.CAFile, cfg.Gateway.TLS.CertFile),
		}
	case "ticket-service":
		cfg := ticketservice.DefaultConfig()
		read(&cfg)
		return settings{
			listens: addresses(cfg.Ticket.Listen, cfg.Admin.Listen),
			stores:  hosts(t, cfg.Redis.URL, cfg.Postgres.URL),
			trace:   cfg.Trace.Endpoint,
			files:   addresses(cfg.Ticket.KeyFile, cfg.TLS.CertFile, cfg.TLS.KeyFile, cfg.TLS.CAFile),
		}
	case "vote-service":
		cfg := voteservice.DefaultConfig()
		read(&cfg)
		return settings{
			listens: addresses(cfg.Vote.Listen, cfg.Admin.Listen),
			stores:  append(hosts(t, cfg.Redis.URL, cfg.Postgres.URL), cfg.Kafka.Brokers...),
			trace:   cfg.Trace.Endpoint,
			files:   addresses(cfg.Ticket.KeyFile, cfg.Ballot.SignKeyFile, cfg.TLS.CertFile, cfg.TLS.KeyFile, cfg.TLS.CAFile),
		}
	case "query-service":
		cfg := queryservice.DefaultConfig()
		read(&cfg)
		return settings{
			listens: addresses(cfg.Query.Listen, cfg.Admin.Listen),
			stores:  hosts(t, cfg.Redis.URL, cfg.Postgres.URL, cfg.Postgres.ReplicaURL),
			trace:   cfg.Trace.Endpoint,
			files:   addresses(cfg.TLS.CertFile, cfg.TLS.KeyFile, cfg.TLS.CAFile),
		}
	case "persister":
		cfg := persister.DefaultConfig()
		read(&cfg)
		return settings{
			listens: addresses(cfg.Persister.Listen, cfg.Admin.Listen),
			stores:  append(hosts(t, cfg.Postgres.URL), cfg.Kafka.Brokers...),
			trace:   cfg.Trace.Endpoint,
			files:   addresses(cfg.TLS.CertFile, cfg.TLS.KeyFile, cfg.TLS.CAFile),
		}
	case "blog-service":
		cfg := blogservice.DefaultConfig()
		read(&cfg)
		return settings{
			listens: addresses(cfg.Blog.Listen, cfg.Admin.Listen),
			targets: []string{cfg.Vote.Target, cfg.Query.Target},
			stores:  hosts(t, cfg.Redis.URL, cfg.Postgres.URL),
			trace:   cfg.Trace.Endpoint,
			files:   addresses(cfg.TLS.CertFile, cfg.TLS.KeyFile, cfg.TLS.CAFile),
		}
	case "littlevote": // the migration
		var cfg struct {
			Postgres config.Postgres `key:"postgres"`
		}
		cfg.Postgres = config.DefaultPostgres()
		read(&cfg)
		return settings{stores: hosts(t, cfg.Postgres.URL)}
	default:
		t.Fatalf("no program is called %s", name)
		return settings{}
	}
}

// addresses are those that are given.
func addresses(all ...string) []string {
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// hosts are the host:port of URLs; those that are not given are left out.
func hosts(t *testing.T, urls ...string) []string {
	t.Helper()
	var out []string
	for _, text := range addresses(urls...) {
		parsed, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, parsed.Host)
	}
	return out
}

// mount writes the settings and the secrets of a pod to where its container would see them, below root.
func mount(t *testing.T, c *cluster, w workload, root string) {
	t.Helper()
	for _, mount := range w.template.Spec.Containers[0].VolumeMounts {
		i := slices.IndexFunc(w.template.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name })
		if i < 0 {
			continue
		}
		dir := filepath.Join(root, mount.MountPath)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, content := range c.contents(w.template.Spec.Volumes[i]) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// contents are the files of a volume.
func (c *cluster) contents(volume corev1.Volume) map[string]string {
	files := map[string]string{}
	switch {
	case volume.ConfigMap != nil:
		files = c.config(volume.ConfigMap.Name).Data
	case volume.Secret != nil:
		for _, key := range c.secretKeys(volume.Secret.SecretName) {
			files[key] = standIns[volume.Secret.SecretName+"/"+key]
			if secret := c.secret(volume.Secret.SecretName); secret != nil {
				files[key] = string(secret.Data[key])
			}
		}
	}
	return files
}

// Every key of the settings is one that a program has, with a value that it takes, and the files they name are mounted.
func TestProgramsTakeTheirSettings(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		if len(c.ours()) != 7 {
			t.Errorf("%d workloads run our programs, want six and the migration", len(c.ours()))
		}
		for _, w := range c.ours() {
			got := loadSettings(t, c, w)
			for _, file := range got.files {
				if !c.mounts(w, file) {
					t.Errorf("%s opens %s, which is not mounted", w, file)
				}
			}
			for _, listen := range got.listens {
				if host, port, err := net.SplitHostPort(listen); err != nil || host != "" || !opens(w, port) {
					t.Errorf("%s listens on %s; want every address, and a containerPort", w, listen)
				}
			}
			if n := len(w.template.Spec.Containers[0].Ports); n != len(got.listens) {
				t.Errorf("%s: %d containerPorts, but it listens on %v", w, n, got.listens)
			}
		}
	})
}

// mounts reports whether a container sees a file.
func (c *cluster) mounts(w workload, file string) bool {
	for _, mount := range w.template.Spec.Containers[0].VolumeMounts {
		name, below := strings.CutPrefix(file, mount.MountPath+"/")
		if !below {
			continue
		}
		for _, volume := range w.template.Spec.Volumes {
			if _, there := c.contents(volume)[name]; volume.Name == mount.Name && there {
				return true
			}
		}
	}
	return false
}

func opens(w workload, port string) bool {
	return slices.ContainsFunc(w.template.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool {
		return strconv.Itoa(int(p.ContainerPort)) == port
	})
}

// A persister's name outlives its process exactly where its pod's does.
func TestPersisterInstance(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		for _, w := range c.ours() {
			named := slices.ContainsFunc(w.template.Spec.Containers[0].Env, func(e corev1.EnvVar) bool { return e.Name == "LITTLEVOTE_PERSISTER_INSTANCE" })
			if stable := w.kind == "StatefulSet"; named != stable {
				t.Errorf("%s: the name is set: %v, the pod's name is stable: %v", w, named, stable)
			}
		}
	})
}
