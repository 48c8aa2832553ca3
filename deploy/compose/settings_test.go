package compose

import (
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/spf13/pflag"

	"github.com/littlevote/littlevote/gateway"
	"github.com/littlevote/littlevote/libs/config"
	blogservice "github.com/littlevote/littlevote/services/blog-service"
	"github.com/littlevote/littlevote/services/persister"
	queryservice "github.com/littlevote/littlevote/services/query-service"
	ticketservice "github.com/littlevote/littlevote/services/ticket-service"
	voteservice "github.com/littlevote/littlevote/services/vote-service"
)

// environment is what a container has, with its secrets where Compose has them on this machine.
func environment(t *testing.T, p *types.Project, name string) []string {
	t.Helper()
	s := p.Services[name]
	mounted := map[string]string{}
	for _, secret := range s.Secrets {
		mounted["/run/secrets/"+secret.Source] = p.Secrets[secret.Source].File
	}
	for _, v := range s.Volumes {
		for _, file := range []string{"tls.crt", "tls.key", "ca.crt"} {
			mounted[v.Target+"/"+file] = filepath.Join(v.Source, file)
		}
	}
	var environ []string
	for variable, value := range s.Environment {
		if value == nil {
			t.Errorf("%s: %s has whatever value the shell gives it", name, variable)
			continue
		}
		text := *value
		if file, below := strings.CutPrefix(text, "/run/"); below {
			text = mounted["/run/"+file]
			if text == "" {
				t.Errorf("%s: %s names /run/%s, which is not mounted", name, variable, file)
			}
		}
		environ = append(environ, variable+"="+text)
	}
	return environ
}

// read loads settings as the program in the container would.
func read(t *testing.T, p *types.Project, name string, cfg any) {
	t.Helper()
	var log struct {
		Log config.Log `key:"log"`
	}
	loader, err := config.Bind(pflag.NewFlagSet(name, pflag.ContinueOnError), cfg, &log)
	if err != nil {
		t.Fatal(err)
	}
	if err := loader.Load(environment(t, p, name)); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// All the services' variables are settings, with values that the programs take.
func TestProgramsTakeTheirSettings(t *testing.T) {
	each(t, func(t *testing.T, w way, p *types.Project) {
		for _, n := range []string{"-1", "-2"} {
			g, tickets, votes, query := gateway.DefaultConfig(), ticketservice.DefaultConfig(), voteservice.DefaultConfig(), queryservice.DefaultConfig()
			persisters, blog := persister.DefaultConfig(), blogservice.DefaultConfig()
			read(t, p, "gateway"+n, &g)
			read(t, p, "ticket-service"+n, &tickets)
			read(t, p, "vote-service"+n, &votes)
			read(t, p, "query-service"+n, &query)
			read(t, p, "persister"+n, &persisters)
			read(t, p, "blog-service"+n, &blog)

			for target, listen := range map[string]string{
				g.Ticket.Target: tickets.Ticket.Listen, g.Vote.Target: votes.Vote.Listen, g.Query.Target: query.Query.Listen, g.Blog.Target: blog.Blog.Listen,
				blog.Vote.Target: votes.Vote.Listen, blog.Query.Target: query.Query.Listen,
			} {
				mustReachBoth(t, p, target, listen)
			}
			if persisters.Persister.Instance != "persister"+n || persisters.Persister.Migrate || blog.Blog.Migrate {
				t.Errorf("persister%s is called %q", n, persisters.Persister.Instance)
			}
			for _, redis := range []config.Redis{tickets.Redis, votes.Redis, query.Redis} {
				if !redis.Replicated {
					t.Error("Redis is replicated, and nobody says so")
				}
				mustBeSentinels(t, p, redis)
			}
			for _, kafka := range []config.Kafka{votes.Kafka, persisters.Kafka} {
				if kafka.Replication != len(w.brokers) {
					t.Errorf("topics have %d copies on %d brokers", kafka.Replication, len(w.brokers))
				}
				mustBeBrokers(t, kafka.Brokers, w)
			}
			mustBePostgres(t, p, votes.Postgres)
			for kind, own := range map[string]config.TLS{
				"gateway": g.TLS, "ticket-service": tickets.TLS, "vote-service": votes.TLS, "query-service": query.TLS, "persister": persisters.TLS, "blog-service": blog.TLS,
			} {
				mustBeCertificate(t, kind, n, own)
			}
		}
		var migration struct {
			Postgres config.Postgres `key:"postgres"`
		}
		migration.Postgres = config.DefaultPostgres()
		read(t, p, "migrate", &migration)
		mustBePostgres(t, p, migration.Postgres)
	})
}

// Programs pass over variables of other programs; here a name that is none of any would be a slip of the pen.
func TestVariablesAreSettings(t *testing.T) {
	text, err := os.ReadFile("../../libs/config/keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, key := range strings.Fields(string(text)) {
		known["LITTLEVOTE_"+strings.NewReplacer(".", "_", "-", "_").Replace(strings.ToUpper(key))] = true
	}
	each(t, func(t *testing.T, _ way, p *types.Project) {
		for name, s := range ours(p) {
			for _, variable := range slices.Sorted(maps.Keys(s.Environment)) {
				if !known[variable] && !known[strings.TrimSuffix(variable, "_FILE")] {
					t.Errorf("%s: %s is no setting", name, variable)
				}
			}
		}
	})
}

// mustReachBoth checks that a target names both replicas, at the port on which they listen on every address.
func mustReachBoth(t *testing.T, p *types.Project, target, listen string) {
	t.Helper()
	_, want, _ := net.SplitHostPort(listen)
	if listen != "0.0.0.0:"+want {
		t.Errorf("%s can't be reached from another container", listen)
	}
	addresses := strings.Split(target, ",")
	if len(addresses) != 2 {
		t.Errorf("%s names %d replicas", target, len(addresses))
	}
	for _, address := range addresses {
		host, port, err := net.SplitHostPort(address)
		if _, there := ours(p)[host]; err != nil || !there || port != want {
			t.Errorf("%s: %v, want port %s", address, err, want)
		}
	}
}

// mustBeCertificate checks that a program has the files of its own kind, for the name that it is called by.
func mustBeCertificate(t *testing.T, kind, n string, own config.TLS) {
	t.Helper()
	for _, file := range []string{own.CertFile, own.KeyFile, own.CAFile} {
		text, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(string(text), "issue "+kind+" ") || !strings.Contains(string(text), kind+n) {
			t.Errorf("%s%s: %s is %q: %v", kind, n, file, text, err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o444 {
			t.Errorf("%s can't be read by another user: %v", file, err)
		}
	}
}

func mustBeSentinels(t *testing.T, p *types.Project, redis config.Redis) {
	t.Helper()
	parsed, err := url.Parse(redis.URL)
	if err != nil || parsed.Scheme != "redis+sentinel" {
		t.Fatalf("%v, %v", parsed, err)
	}
	if got, want := parsed.Host, "sentinel-1:26379,sentinel-2:26379,sentinel-3:26379"; got != want {
		t.Errorf("the Sentinels are %s, want %s", got, want)
	}
	conf, err := os.ReadFile(p.Configs["sentinel-conf"].File)
	if err != nil || !strings.Contains(string(conf), "\nsentinel monitor "+strings.TrimPrefix(parsed.Path, "/")+" redis-1 6379 2\n") {
		t.Errorf("the Sentinels do not watch over %s: %v", parsed.Path, err)
	}
	if password, _ := parsed.User.Password(); len(password) < 32 || redis.SentinelPassword != password {
		t.Error("Redis and its Sentinels have another password, or none")
	}
}

func mustBeBrokers(t *testing.T, brokers []string, w way) {
	t.Helper()
	var want []string
	for _, name := range w.brokers {
		want = append(want, name+":9092")
	}
	if !slices.Equal(brokers, want) {
		t.Errorf("the brokers are %v, want %v", brokers, want)
	}
}

// mustBePostgres checks that a promoted replica would be found.
func mustBePostgres(t *testing.T, p *types.Project, postgres config.Postgres) {
	t.Helper()
	if !strings.Contains(postgres.URL, "@postgres:5432,postgres-replica:5432/littlevote") {
		t.Error("the services would not find the replica once it is promoted")
	}
	for _, name := range []string{"postgres", "postgres-replica"} {
		if _, there := p.Services[name]; !there {
			t.Errorf("there is no %s", name)
		}
	}
}

// What Kafka acknowledges stands on two brokers of three.
func TestBrokersAgree(t *testing.T) {
	each(t, func(t *testing.T, w way, p *types.Project) {
		copies := strconv.Itoa(len(w.brokers))
		inSync := strconv.Itoa(max(1, len(w.brokers)-1))
		var voters []string
		for i, name := range w.brokers {
			voters = append(voters, strconv.Itoa(i+1)+"@"+name+":9093")
		}
		for i, name := range w.brokers {
			for variable, want := range map[string]string{
				"KAFKA_NODE": strconv.Itoa(i + 1), "KAFKA_NAME": name, "KAFKA_VOTERS": strings.Join(voters, ","), "KAFKA_COPIES": copies, "KAFKA_IN_SYNC": inSync,
			} {
				if got := p.Services[name].Environment[variable]; got == nil || *got != want {
					t.Errorf("%s: %s is not %s", name, variable, want)
				}
			}
		}
	})
}

func TestRedisForgetsNothing(t *testing.T) {
	conf, err := os.ReadFile(filepath.Join("redis", "redis.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"maxmemory-policy noeviction", "appendonly yes"} {
		if !slices.Contains(strings.Split(string(conf), "\n"), line) {
			t.Errorf("redis.conf lacks %q", line)
		}
	}
}
