package doctor

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/littlevote/littlevote/libs/authority"
	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/testenv"
)

// run runs the command and returns its report.
func run(t *testing.T, args ...string) (report, error) {
	t.Helper()
	cmd := Command()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(append([]string{"--json", "--data-dir", t.TempDir()}, args...))
	failed := cmd.ExecuteContext(t.Context())
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil && out.Len() > 0 {
		t.Fatalf("%v: %s", err, out.Bytes())
	}
	return r, failed
}

func levels(r report, area string) []string {
	return short(slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Area != area }))
}

func TestWhoDoesNotAnswerIsBroken(t *testing.T) {
	const nobody = "127.0.0.1:1"
	r, err := run(t, "--redis-url=redis://"+nobody, "--kafka-brokers="+nobody, "--postgres-url=postgres://u:secret@"+nobody+"/x", "--vote-target="+nobody,
		"--admin="+nobody, "--listener="+nobody)
	if !errors.Is(err, ErrBroken) || r.Level != Broken {
		t.Errorf("error %v, level %s", err, r.Level)
	}
	want := []string{"redis reach", "kafka reach", "postgres reach", "services reach", "services tls", "processes reach"}
	var got []string
	for _, f := range r.Findings {
		if f.Level != Broken || strings.Contains(f.What, "secret") {
			t.Errorf("%+v", f)
		}
		got = append(got, f.Area+" "+f.Check)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

func TestNothingToLookAt(t *testing.T) {
	var wrong *config.KeyError
	if _, err := run(t); !errors.As(err, &wrong) {
		t.Errorf("error is %v", err)
	}
	if _, err := run(t, "--kafka-replication=0"); !errors.As(err, &wrong) || !strings.Contains(err.Error(), "kafka.replication") {
		t.Errorf("error is %v", err)
	}
}

// A Redis of the wrong policy, as one that is asked over the network.
func TestExamineRedis(t *testing.T) {
	s, err := server.NewServer("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	policy := "noeviction"
	for name, answer := range map[string]func(*server.Peer){
		"PING": func(p *server.Peer) { p.WriteInline("PONG") },
		"INFO": func(p *server.Peer) {
			p.WriteBulk("# Server\r\nredis_version:7.0.15\r\nrole:master\r\nmaxmemory:1000\r\nused_memory:10\r\naof_enabled:1\r\nconnected_slaves:0\r\nmaxmemory_policy:" + policy + "\r\n")
		},
		"CONFIG": func(p *server.Peer) { p.WriteError("ERR unknown command") },
		"TIME": func(p *server.Peer) {
			now := time.Now().Add(2 * time.Second)
			p.WriteStrings([]string{itoa(now.Unix()), itoa(int64(now.Nanosecond() / 1000))})
		},
	} {
		if err := s.Register(name, func(p *server.Peer, _ string, _ []string) { answer(p) }); err != nil {
			t.Fatal(err)
		}
	}
	url := "--redis-url=redis://" + s.Addr().String()
	r, err := run(t, url)
	if !errors.Is(err, ErrWarnings) || len(levels(r, "redis")) > 0 {
		t.Errorf("%v: %+v", err, r)
	}
	if diff := cmp.Diff([]string{"warning offset"}, levels(r, "clocks")); diff != "" {
		t.Errorf("a clock of two seconds (-want +got):\n%s", diff)
	}
	policy = "allkeys-lru"
	r, err = run(t, url)
	if diff := cmp.Diff([]string{"broken maxmemory-policy"}, levels(r, "redis")); diff != "" || !errors.Is(err, ErrBroken) {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func TestExamineKafka(t *testing.T) {
	brokers, prefix := testenv.Kafka(t), testenv.Topic(t)
	cfg := config.DefaultKafka()
	cfg.Brokers, cfg.TopicPrefix, cfg.Replication = brokers, prefix, testenv.KafkaReplication(t)
	args := []string{"--kafka-brokers=" + strings.Join(brokers, ","), "--kafka-topic-prefix=" + prefix}
	r, err := run(t, args...)
	if diff := cmp.Diff([]string{"broken topic", "broken topic", "broken topic"}, levels(r, "kafka")); diff != "" || !errors.Is(err, ErrBroken) {
		t.Errorf("without topics: %v (-want +got):\n%s", err, diff)
	}
	client, err := events.NewClient(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	topics := events.NewTopics(prefix)
	if _, err := events.EnsureTopics(t.Context(), client, cfg, topics); err != nil {
		t.Fatal(err)
	}
	weak := []string{}
	if cfg.Replication == 1 {
		weak = []string{"warning replication", "warning replication", "warning replication"} // all topics stand on one disk
	}
	r, _ = run(t, args...)
	if diff := cmp.Diff(weak, append([]string{}, levels(r, "kafka")...)); diff != "" {
		t.Errorf("as the services make them (-want +got):\n%s", diff)
	}
	admin := kadm.NewClient(client)
	alter := func(name, value string) {
		answers, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, topics.Votes)
		if err != nil || len(answers) != 1 || answers[0].Err != nil {
			t.Fatal(err, answers)
		}
	}
	alter("retention.ms", "3600000")
	alter("max.message.bytes", "1000")
	testenv.Eventually(t, 10*time.Second, func() error {
		r, _ := run(t, args...)
		for _, want := range []string{"warning retention", "broken max.message.bytes"} {
			if !slices.Contains(levels(r, "kafka"), want) {
				return errors.New("it does not find " + want)
			}
		}
		return nil
	})
}

func TestExaminePostgres(t *testing.T) {
	url := testenv.Postgres(t)
	r, err := run(t, "--postgres-url="+url)
	if diff := cmp.Diff([]string{"broken migrations"}, levels(r, "ledger")); diff != "" || !errors.Is(err, ErrBroken) {
		t.Errorf("without tables: %v (-want +got):\n%s", err, diff)
	}
	if err := pgledger.Migrate(t.Context(), url, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	r, _ = run(t, "--postgres-url="+url, "--postgres-replica-url="+url)
	for area, want := range map[string][]string{"ledger": {"note epoch"}, "replica": {"note role"}, "clocks": nil} {
		if diff := cmp.Diff(want, levels(r, area)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", area, diff)
		}
	}
	pool, err := pgledger.Open(t.Context(), config.Postgres{URL: url, PoolSize: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	_, err = pool.Exec(t.Context(), `
		INSERT INTO ledger_epoch (epoch, mode, state, ns, replicated, reason, changed_at) VALUES (1, 'redis', 'ending', '', false, 'test', now() - interval '1 hour');
		DROP TABLE vote_logs_`+time.Now().UTC().Format("20060102"))
	if err != nil {
		t.Fatal(err)
	}
	r, _ = run(t, "--postgres-url="+url)
	want := []string{"broken epoch", "broken participants", "broken persisters", "warning partitions"}
	if diff := cmp.Diff(want, levels(r, "ledger")); diff != "" {
		t.Errorf("what was broken (-want +got):\n%s", diff)
	}
}

// The certificate of a door, as whoever comes sees it; and one that nobody here would trust.
func TestExamineDoors(t *testing.T) {
	ca, err := authority.New("test", 1000*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	door := func(life time.Duration, host string) string {
		cert, key, err := ca.Issue(authority.Request{Name: "door", Hosts: []string{host}, Life: life})
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert} // it turns us away, and shows its own
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	caFile := write(t, dir, "ca.pem", 0o600, ca.Cert())
	for _, c := range []struct {
		name, address string
		want          []string
	}{
		{"a month", door(900*time.Hour, "127.0.0.1"), nil},
		{"three days", door(72*time.Hour, "127.0.0.1"), []string{"warning tls"}},
		{"another name", door(900*time.Hour, "elsewhere"), []string{"broken tls"}},
	} {
		r, _ := run(t, "--listener="+c.address, "--tls-ca-file="+caFile)
		if diff := cmp.Diff(c.want, levels(r, "services")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestExamineProcesses(t *testing.T) {
	serve := func(report service.Report, metrics string) string {
		mux := http.NewServeMux()
		mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
			if !report.Ready {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			_ = json.NewEncoder(w).Encode(report)
		})
		mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, metrics) })
		s := httptest.NewServer(mux)
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	well := serve(service.Report{Ready: true, Version: service.Version()}, "littlevote_reconcile_rounds_total{result=\"verified\"} 5\n")
	if r, err := run(t, "--admin="+well); err != nil || r.Level != OK || len(r.Findings) != 2 {
		t.Errorf("a healthy process: %v, %+v", err, r)
	}
	ill := serve(service.Report{
		Version: "0.0.1", Checks: map[string]string{"postgres": "gone", "redis": "ok"}, Degraded: []string{"slow"}, Weak: []string{"one disk"},
	}, `
littlevote_reconcile_postgres_differs 2
littlevote_reconcile_drift_total 1
littlevote_persister_partitions_halted{topic="x"} 1
littlevote_reconcile_rounds_total{result="failed"} 5
`)
	r, _ := run(t, "--admin="+well+","+ill)
	want := []string{
		"broken ready", "warning degraded", "warning weak", "broken littlevote_reconcile_postgres_differs", "broken littlevote_persister_partitions_halted",
		"warning littlevote_reconcile_drift_total", "warning reconciler", "warning versions",
	}
	if diff := cmp.Diff(want, levels(r, "processes")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, port, _ := net.SplitHostPort(well); port != "" {
		l := &list{}
		if got := l.addresses(t.Context(), "localhost:"+port); !slices.Contains(got, well) {
			t.Errorf("of a name all addresses are asked, which are %v", got)
		}
	}
}

func TestPrint(t *testing.T) {
	found := []Finding{
		{Level: OK, Area: "redis", What: "Redis answers"},
		{Level: Broken, Area: "kafka", What: "no topic", Why: "votes are lost", Promises: []string{"G1"}, Mend: "make it"},
	}
	var plain, coloured bytes.Buffer
	if err := errors.Join(printAll(&plain, found, false, false), printAll(&coloured, found, false, true)); err != nil {
		t.Fatal(err)
	}
	want := `ok       redis      Redis answers
broken   kafka      no topic
                    why:  votes are lost (G1)
                    mend: make it
1 broken, 0 warnings, 0 notes
`
	if diff := cmp.Diff(want, plain.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.Contains(coloured.String(), "\x1b[31;1mbroken") || onTerminal(&plain) {
		t.Errorf("colours are for terminals: %q", coloured.String())
	}
	for level, want := range map[Level]error{OK: nil, Note: nil, Warning: ErrWarnings, Broken: ErrBroken} {
		if err := verdict([]Finding{{Level: OK}, {Level: level}}); !errors.Is(err, want) {
			t.Errorf("%s: %v", level, err)
		}
	}
}
