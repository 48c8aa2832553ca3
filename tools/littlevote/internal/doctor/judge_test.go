package doctor

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/littlevote/littlevote/libs/authority"
	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"

	"github.com/littlevote/littlevote/tools/littlevote/internal/offsets"
)

// short is the findings that are not fine, as "level check".
func short(found []Finding) []string {
	var all []string
	for _, f := range found {
		if f.Level != OK {
			all = append(all, string(f.Level)+" "+f.Check)
		}
	}
	return all
}

// expect also holds every finding to saying why it matters and how to mend it.
func expect(t *testing.T, name string, found []Finding, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, short(found)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
	for _, f := range found {
		if f.What == "" || f.Level == Broken && (f.Why == "" || f.Mend == "") {
			t.Errorf("%s: it says too little: %+v", name, f)
		}
	}
	if len(want) == 0 && len(found) == 0 {
		t.Errorf("%s: nothing was looked at", name)
	}
}

func with[K comparable, V any](m map[K]V, change map[K]V) map[K]V {
	all := maps.Clone(m)
	maps.Copy(all, change)
	return all
}

func TestJudgeRedis(t *testing.T) {
	good := map[string]string{
		"redis_version": "7.0.15", "role": "master", "maxmemory_policy": "noeviction", "maxmemory": "1000", "used_memory": "100",
		"aof_enabled": "1", "aof_last_write_status": "ok", "rdb_last_bgsave_status": "ok", "connected_slaves": "0",
	}
	one := map[string]string{"connected_slaves": "1", "slave0": "ip=1.2.3.4,port=6379,state=online,offset=5,lag=0"}
	for _, c := range []struct {
		name       string
		change     map[string]string
		fsync      string
		cluster    map[string]string
		replicated bool
		failover   bool
		want       []string
	}{
		{name: "all is well", fsync: "everysec"},
		{name: "a cloud that tells nothing", change: map[string]string{"maxmemory_policy": "", "used_memory": "", "aof_enabled": "", "connected_slaves": ""}},
		{name: "eviction", change: map[string]string{"maxmemory_policy": "allkeys-lru"}, want: []string{"broken maxmemory-policy"}},
		{name: "no limit", change: map[string]string{"maxmemory": "0", "total_system_memory": "1000"}, want: []string{"note maxmemory"}},
		{name: "little room", change: map[string]string{"used_memory": "800"}, want: []string{"warning memory"}},
		{name: "no room", change: map[string]string{"used_memory": "990"}, want: []string{"broken memory"}},
		{name: "no file", change: map[string]string{"aof_enabled": "0"}, want: []string{"note appendonly"}},
		{name: "never synced", fsync: "no", want: []string{"note appendfsync"}},
		{name: "disk full", change: map[string]string{"aof_last_write_status": "err"}, want: []string{"broken appendonly"}},
		{name: "replica", change: map[string]string{"role": "slave"}, want: []string{"broken role"}},
		{name: "old", change: map[string]string{"redis_version": "5.0.7"}, want: []string{"warning version"}},
		{name: "replicated as said", change: one, replicated: true},
		{name: "replicated unsaid", change: one, want: []string{"broken replicated"}},
		{name: "sentinels unsaid", failover: true, want: []string{"broken replicated"}},
		{name: "replica gone", replicated: true, want: []string{"warning replicas"}},
		{name: "replica behind", change: with(one, map[string]string{"slave0": "ip=1.2.3.4,offset=5,lag=60"}), replicated: true, want: []string{"warning replica-lag"}},
		{name: "cluster", cluster: map[string]string{"cluster_state": "ok", "cluster_slots_ok": "16384"}},
		{name: "cluster with a hole", cluster: map[string]string{"cluster_state": "fail", "cluster_slots_ok": "10923"}, want: []string{"broken cluster"}},
	} {
		l := &list{}
		l.judgeRedis(redisNode{info: with(good, c.change), fsync: c.fsync, cluster: c.cluster}, c.replicated, c.failover)
		expect(t, c.name, l.all, c.want...)
	}
}

func TestJudgeKafka(t *testing.T) {
	partitions := func(n, replicas, inSync int, leader int32) []kadm.PartitionDetail {
		p := kadm.PartitionDetail{Leader: leader, Replicas: make([]int32, replicas), ISR: make([]int32, inSync)}
		return slices.Repeat([]kadm.PartitionDetail{p}, n)
	}
	good := map[string]string{
		"min.insync.replicas": "2", "cleanup.policy": "delete", "retention.ms": "86400000", "max.message.bytes": "1048576",
		"message.timestamp.type": "LogAppendTime", "unclean.leader.election.enable": "false", "retention.bytes": "-1",
	}
	three := partitions(8, 3, 3, 1)
	for _, c := range []struct {
		name       string
		partitions []kadm.PartitionDetail
		change     map[string]string
		want       []string
	}{
		{name: "all is well", partitions: three},
		{name: "few partitions", partitions: partitions(4, 3, 3, 1), want: []string{"broken partitions"}},
		{name: "one broker", partitions: partitions(8, 1, 1, 1), change: map[string]string{"min.insync.replicas": "1"}, want: []string{"warning replication"}},
		{name: "acknowledged by one", partitions: three, change: map[string]string{"min.insync.replicas": "1"}, want: []string{"warning min.insync.replicas"}},
		{name: "needs all", partitions: three, change: map[string]string{"min.insync.replicas": "3"}, want: []string{"warning min.insync.replicas"}},
		{name: "one behind", partitions: partitions(8, 3, 2, 1), want: []string{"warning in-sync"}},
		{name: "two behind", partitions: partitions(8, 3, 1, 1), want: []string{"broken in-sync"}},
		{name: "no leader", partitions: partitions(8, 3, 3, -1), want: []string{"broken leader"}},
		{name: "unclean", partitions: three, change: map[string]string{"unclean.leader.election.enable": "true"}, want: []string{"broken unclean.leader.election"}},
		{name: "compacted", partitions: three, change: map[string]string{"cleanup.policy": "compact"}, want: []string{"broken cleanup.policy"}},
		{name: "kept too long", partitions: three, change: map[string]string{"retention.ms": "172800000"}, want: []string{"broken retention"}},
		{name: "kept for ever", partitions: three, change: map[string]string{"retention.ms": "-1"}, want: []string{"broken retention"}},
		{name: "kept for an hour", partitions: three, change: map[string]string{"retention.ms": "3600000"}, want: []string{"warning retention"}},
		{name: "kept by size", partitions: three, change: map[string]string{"retention.bytes": "1000"}, want: []string{"warning retention.bytes"}},
		{name: "small records", partitions: three, change: map[string]string{"max.message.bytes": "1000"}, want: []string{"broken max.message.bytes"}},
		{name: "producers' clocks", partitions: three, change: map[string]string{"message.timestamp.type": "CreateTime"}, want: []string{"warning message.timestamp.type"}},
	} {
		l := &list{}
		l.judgeVoteTopic(topicFacts{name: "vote-events", partitions: c.partitions, settings: with(good, c.change)}, config.DefaultKafka())
		expect(t, c.name, l.all, c.want...)
	}
}

func TestJudgePostgres(t *testing.T) {
	good := primary{
		Version: "15.14", Number: 150014, Fsync: "on", FullPageWrites: "on", SynchronousCommit: "on", Autovacuum: "on",
		MaxConnections: 100, Reserved: 3, Connections: 10, Age: 1000,
	}
	for _, c := range []struct {
		name      string
		change    func(*primary)
		several   bool
		processes int
		want      []string
	}{
		{name: "all is well", change: func(*primary) {}},
		{name: "fsync", change: func(p *primary) { p.Fsync = "off" }, want: []string{"broken fsync"}},
		{name: "torn pages", change: func(p *primary) { p.FullPageWrites = "off" }, want: []string{"broken full_page_writes"}},
		{name: "asynchronous commit", change: func(p *primary) { p.SynchronousCommit = "off" }, want: []string{"broken synchronous_commit"}},
		{name: "two hosts", change: func(*primary) {}, several: true, want: []string{"warning synchronous_standby_names"}},
		{name: "two hosts, synchronous", change: func(p *primary) { p.SynchronousNames, p.InSync = "*", 1 }, several: true},
		{name: "two hosts, not waited for", change: func(p *primary) { p.SynchronousNames, p.InSync, p.SynchronousCommit = "*", 1, "local" }, several: true, want: []string{"warning synchronous_commit"}},
		{name: "the synchronous one is gone", change: func(p *primary) { p.SynchronousNames = "*" }, several: true, want: []string{"broken synchronous_standby_names"}},
		{name: "no vacuum", change: func(p *primary) { p.Autovacuum = "off" }, want: []string{"warning autovacuum"}},
		{name: "a slot", change: func(p *primary) { p.StaleSlots = 1 }, want: []string{"warning slots"}},
		{name: "wraparound", change: func(p *primary) { p.Age = 1_500_000_000 }, want: []string{"warning wraparound"}},
		{name: "old", change: func(p *primary) { p.Number = 130000 }, want: []string{"warning version"}},
		{name: "pools", change: func(*primary) {}, processes: 8, want: []string{"warning max_connections"}},
		{name: "full", change: func(p *primary) { p.Connections = 96 }, want: []string{"warning max_connections"}},
		{name: "long transaction", change: func(p *primary) { p.Oldest = 100 }, want: []string{"warning transactions"}},
	} {
		p := good
		c.change(&p)
		l := &list{}
		l.judgePrimary(p, c.several)
		l.judgeUse(p, c.processes, 20)
		expect(t, c.name, l.all, c.want...)
	}
	a, b := pgHost{name: "a:5432", primary: true}, pgHost{name: "b:5432"}
	for _, c := range []struct {
		name     string
		hosts    []pgHost
		writable bool
		want     []string
	}{
		{"one of two", []pgHost{b, a}, true, nil},
		{"both", []pgHost{a, {name: "b:5432", primary: true}}, true, []string{"broken primaries"}},
		{"none", []pgHost{b, {name: "c:5432"}}, false, []string{"broken primaries"}},
		{"a replica alone", []pgHost{b}, false, []string{"broken primaries"}},
		{"one is away", []pgHost{a, {name: "b:5432", err: os.ErrDeadlineExceeded}}, true, []string{"warning host"}},
		{"the only one is away", []pgHost{{name: "b:5432", err: os.ErrDeadlineExceeded}}, false, []string{"broken reach"}},
	} {
		l := &list{}
		if l.judgeHosts(c.hosts) != c.writable {
			t.Errorf("%s: it says the opposite", c.name)
		}
		if diff := cmp.Diff(c.want, short(l.all)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestJudgeReplica(t *testing.T) {
	for want, r := range map[string]replica{
		"":             {recovery: true, lag: 0.1},
		"note role":    {},
		"warning lag":  {recovery: true, lag: 60},
		"warning lag ": {recovery: true, paused: true},
	} {
		l := &list{}
		l.judgeReplica(r)
		if got := strings.Join(short(l.all), ","); got != strings.TrimSpace(want) {
			t.Errorf("%+v: %q, want %q", r, got, want)
		}
	}
}

func TestJudgeLedger(t *testing.T) {
	now := time.Now()
	live := epoch.ParticipantStatus{ID: "v1", Service: "vote-service", LeaseUntil: now.Add(time.Minute)}
	persister := epoch.PersisterStatus{ID: "p1", ReadsFormat: 3, LeaseUntil: now.Add(time.Minute)}
	good := epoch.Overview{
		Epoch: 7, Mode: epoch.Redis, State: "open", Since: now.Add(-time.Hour), Now: now,
		Participants: []epoch.ParticipantStatus{live, live}, Persisters: []epoch.PersisterStatus{persister, persister},
	}
	for _, c := range []struct {
		name   string
		change func(*epoch.Overview)
		want   []string
	}{
		{"all is well", func(*epoch.Overview) {}, nil},
		{"changing", func(o *epoch.Overview) { o.State, o.Since = "ending", now.Add(-time.Second) }, []string{"note epoch"}},
		{"stuck", func(o *epoch.Overview) { o.State = "ending" }, []string{"broken epoch"}},
		{"in Postgres", func(o *epoch.Overview) { o.Mode = epoch.Postgres }, []string{"warning epoch"}},
		{"held", func(o *epoch.Overview) { o.Mode, o.Held = epoch.Postgres, true }, []string{"warning epoch"}},
		{"a copy", func(o *epoch.Overview) { o.State = "moving" }, []string{"warning epoch"}},
		{"one vote-service", func(o *epoch.Overview) { o.Participants = o.Participants[:1] }, []string{"note participants"}},
		{"no vote-service", func(o *epoch.Overview) { o.Now = now.Add(time.Hour); o.Persisters = nil }, []string{"broken participants", "broken persisters"}},
		{"two formats", func(o *epoch.Overview) {
			o.Persisters = []epoch.PersisterStatus{persister, {ID: "p2", ReadsFormat: 2, LeaseUntil: persister.LeaseUntil}}
		}, []string{"warning persisters"}},
		{"Redis away from one", func(o *epoch.Overview) {
			away := live
			away.RedisAwaySince = &o.Since
			o.Participants = []epoch.ParticipantStatus{live, away}
		}, []string{"warning redis-away"}},
	} {
		o := good
		c.change(&o)
		l := &list{}
		l.judgeEpoch(o, time.Minute)
		l.judgeProcesses(o)
		expect(t, c.name, l.all, c.want...)
	}
	l := &list{}
	l.judgeSchema(4, 5)
	l.judgePartitions(pgledger.PartitionState{Missing: []string{"vote_logs_20270101"}, InDefault: map[string]bool{"vote_logs": true}})
	l.judgeDeadLetters(3)
	expect(t, "tables", l.all, "broken migrations", "warning partitions", "note default", "warning dead-letters")
}

func TestJudgeLag(t *testing.T) {
	now := time.Now()
	since := now.Add(-time.Minute)
	for want, o := range map[string]offsets.Overview{
		"":            lagging(0, since, "ok"),
		"warning lag": lagging(10, since, "ok"),
		"broken lag":  lagging(10, now.Add(-time.Hour), "ok"),
		"broken offsets": lagging(0, now,
			"records are gone before they were read"),
	} {
		l := &list{}
		l.judgeLag(o, now)
		if got := strings.Join(short(l.all), ","); got != want {
			t.Errorf("%+v: %q, want %q", o, got, want)
		}
	}
}

func lagging(behind int64, since time.Time, state string) offsets.Overview {
	var o offsets.Overview
	o.Partitions = append(o.Partitions, offsets.Partition{Behind: behind, CaughtUpAt: &since, State: state})
	return o
}

// The clocks of the stores, as a machine sees them whose own is wrong.
func TestJudgeClocks(t *testing.T) {
	for want, ahead := range map[string]time.Duration{"": 20 * time.Millisecond, "warning offset": -3 * time.Second, "broken offset": time.Hour} {
		here := func() time.Time { return time.Now().Add(-ahead) }
		r, err := readClock("Redis", here, func() (time.Time, error) { return time.Now(), nil })
		if err != nil {
			t.Fatal(err)
		}
		l := &list{}
		l.judgeClocks([]reading{r})
		if got := strings.Join(short(l.all), ","); got != want {
			t.Errorf("%v ahead: %q, want %q", ahead, got, want)
		}
	}
	l := &list{}
	l.judgeClocks([]reading{{name: "Redis", ahead: time.Second}, {name: "Postgres", ahead: -time.Second}})
	expect(t, "two stores", l.all, "warning offset", "warning offset", "warning offset")
	l = &list{}
	l.judgeClocks([]reading{{name: "Redis", ahead: 2 * time.Second, within: 2 * time.Second}})
	expect(t, "a slow answer says nothing", l.all)
}

func TestFiles(t *testing.T) {
	ca, err := authority.New("test", 1000*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.Issue(authority.Request{Name: "x", Hosts: []string{"localhost"}, Life: 72 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := defaults()
	s.TLS = config.TLS{
		CertFile: write(t, dir, "cert.pem", 0o644, cert), KeyFile: write(t, dir, "key.pem", 0o644, key), CAFile: write(t, dir, "ca.pem", 0o644, ca.Cert()),
	}
	s.Ticket.KeyFile = write(t, dir, "ticket.keys", 0o640, []byte(strings.Repeat("ab", 32)))
	later := func(d time.Duration) func() time.Time { return func() time.Time { return time.Now().Add(d) } }
	for _, c := range []struct {
		name  string
		clock func() time.Time
		want  []string
	}{
		{"a certificate of three days", later(0), []string{"warning tls.cert-file", "warning tls.key-file", "note ticket.key-file"}},
		{"one of half a day", later(60 * time.Hour), []string{"broken tls.cert-file", "warning tls.key-file", "note ticket.key-file"}},
		{"one that is over", later(100 * time.Hour), []string{"broken tls.cert-file", "warning tls.key-file", "note ticket.key-file"}},
		{"one for the future", later(-1000 * time.Hour), []string{"broken tls.cert-file", "warning tls.key-file", "broken tls.ca-file", "note ticket.key-file"}},
		{"an old ticket key", later(3000 * time.Hour), []string{"broken tls.cert-file", "warning tls.key-file", "broken tls.ca-file", "note ticket.key-file", "note ticket.key-file"}},
	} {
		expect(t, c.name, examineFiles(t.Context(), s, c.clock), c.want...)
	}
	s.TLS = config.TLS{CertFile: s.TLS.CAFile, KeyFile: s.TLS.KeyFile, CAFile: s.TLS.KeyFile}
	s.Ticket.KeyFile = write(t, dir, "short.keys", 0o600, []byte("abcd"))
	expect(t, "files that are mixed up", examineFiles(t.Context(), s, time.Now), "broken tls.cert-file", "broken tls.ca-file", "broken ticket.key-file")
	s = defaults()
	s.Dev.Dev = true
	expect(t, "development", examineFiles(t.Context(), s, time.Now), "warning ticket.key-file")
}

func write(t *testing.T, dir, name string, mode os.FileMode, content []byte) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, content, mode); err != nil {
		t.Fatal(err)
	}
	return file
}
