package doctor

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/littlevote/littlevote/libs/pgledger"
)

// primary is what a server that takes writes says of itself.
type primary struct {
	Version           string
	Number            int
	Fsync             string
	FullPageWrites    string
	SynchronousCommit string
	SynchronousNames  string
	Autovacuum        string
	MaxConnections    int
	Reserved          int
	Connections       int     // ours, now
	Oldest            float64 // seconds of the longest transaction
	OldestBy          string
	InSync            int // replicas that a commit waits for
	Standbys          int
	StaleSlots        int // replication slots that nobody reads
	Age               int64
}

// minPostgres is the oldest version that was tried.
const minPostgres = 150000

const postgresLost = "votes go on for participant.lease (60s by default) and are then refused"

// pgHost is one server of a URL.
type pgHost struct {
	name    string
	err     error
	primary bool
}

func examinePostgres(ctx context.Context, s *settings, _ func() time.Time) []Finding {
	if s.Postgres.URL == "" {
		return nil
	}
	l := &list{area: "postgres"}
	hosts, err := askHosts(ctx, s.Postgres.URL)
	if err != nil {
		l.unreachable("postgres.url", err, postgresLost, "correct postgres.url")
		return l.all
	}
	writable := l.judgeHosts(hosts)
	if !writable {
		return l.all
	}
	p, processes, err := askPrimary(ctx, s)
	if err != nil {
		l.unreachable("Postgres", err, postgresLost, "look at its log", "G1")
		return l.all
	}
	l.judgePrimary(p, len(hosts) > 1)
	l.judgeUse(p, processes, s.Postgres.PoolSize)
	return l.all
}

// askHosts asks each server of a URL by itself, which nobody else does while the first one answers.
func askHosts(ctx context.Context, url string) ([]pgHost, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	places := []string{place(cfg.Host, cfg.Port)}
	for _, f := range cfg.Fallbacks {
		if p := place(f.Host, f.Port); p != places[len(places)-1] { // the same once more without TLS
			places = append(places, p)
		}
	}
	var hosts []pgHost
	for _, p := range places {
		one := cfg.Copy()
		host, port, _ := net.SplitHostPort(p)
		number, _ := strconv.ParseUint(port, 10, 16)
		one.Host, one.Port, one.ConnectTimeout, one.ValidateConnect = host, uint16(number), storeTimeout, nil
		one.Fallbacks = nil
		for _, f := range cfg.Fallbacks {
			if place(f.Host, f.Port) == p {
				one.Fallbacks = append(one.Fallbacks, f)
			}
		}
		hosts = append(hosts, askHost(ctx, p, one))
	}
	return hosts, nil
}

func place(host string, port uint16) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }

func askHost(ctx context.Context, name string, cfg *pgx.ConnConfig) pgHost {
	h := pgHost{name: name}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		h.err = err
		return h
	}
	defer func() { _ = conn.Close(ctx) }()
	h.err = conn.QueryRow(ctx, "SELECT NOT pg_is_in_recovery()").Scan(&h.primary)
	return h
}

// judgeHosts says whether there is one that takes writes.
func (l *list) judgeHosts(hosts []pgHost) bool {
	var primaries []string
	for _, h := range hosts {
		switch {
		case h.err != nil && len(hosts) == 1:
			l.unreachable("Postgres at "+h.name, h.err, postgresLost, "start it, or correct postgres.url and what stands between", "G1")
		case h.err != nil:
			l.add(Warning, "host", fmt.Sprintf("Postgres at %s, named in postgres.url, does not answer: %v", h.name, h.err),
				"if the other one dies nobody takes over", "start it, or leave it out of postgres.url", "G1")
		case h.primary:
			primaries = append(primaries, h.name)
		}
	}
	switch {
	case len(primaries) > 1:
		l.add(Broken, "primaries", "both "+strings.Join(primaries, " and ")+" take writes",
			"each process takes the first that does: the ledger has two halves", "stop the one that was demoted at once, and make it a replica of the other (pg_rewind)", "G1", "G2", "G11")
	case len(primaries) == 0 && len(hosts) > 1:
		l.add(Broken, "primaries", "no server of postgres.url takes writes", postgresLost, "promote a replica: SELECT pg_promote()", "G1")
	case len(primaries) == 0 && hosts[0].err == nil:
		l.add(Broken, "primaries", hosts[0].name+" is a replica, and takes no writes", postgresLost, "let postgres.url name the primary, or all hosts", "G1")
	}
	return len(primaries) > 0
}

// askPrimary asks for the facts, and for how many processes have connections to it.
func askPrimary(ctx context.Context, s *settings) (primary, int, error) {
	pool, err := pgledger.Open(ctx, s.Postgres)
	if err != nil {
		return primary{}, 0, err
	}
	defer pool.Close()
	rows, err := pool.Query(ctx, `
		SELECT current_setting('server_version'), current_setting('server_version_num')::int,
			current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),
			current_setting('synchronous_standby_names'), current_setting('autovacuum'),
			current_setting('max_connections')::int, current_setting('superuser_reserved_connections')::int,
			(SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend'),
			coalesce((SELECT max(extract(epoch FROM now() - xact_start))::float8 FROM pg_stat_activity
				WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()), 0),
			coalesce((SELECT coalesce(nullif(application_name, ''), 'somebody') || ', process ' || pid FROM pg_stat_activity
				WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL ORDER BY xact_start LIMIT 1), ''),
			(SELECT count(*)::int FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')),
			(SELECT count(*)::int FROM pg_stat_replication),
			(SELECT count(*)::int FROM pg_replication_slots WHERE NOT active),
			(SELECT age(datfrozenxid)::bigint FROM pg_database WHERE datname = current_database())`)
	if err != nil {
		return primary{}, 0, err
	}
	p, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[primary])
	if err != nil {
		return primary{}, 0, err
	}
	processes := 0
	// A database without our tables has no processes either; the ledger's part says so.
	_ = pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM participants WHERE lease_until > now()) +
		(SELECT count(*) FROM persisters WHERE lease_until > now())`).Scan(&processes)
	return p, processes, nil
}

// judgePrimary looks at what an acknowledged commit is worth.
func (l *list) judgePrimary(p primary, several bool) {
	l.ok("version", "Postgres %s answers", p.Version)
	if p.Number < minPostgres {
		l.add(Warning, "version", "Postgres is "+p.Version, "versions before 15 were never tried", "`littlevote dbmove` moves the ledger to another server while votes go on")
	}
	for name, value := range map[string]string{"fsync": p.Fsync, "full_page_writes": p.FullPageWrites} {
		if value == "off" {
			l.add(Broken, name, name+" is off", "a power cut may leave a database that cannot be read",
				fmt.Sprintf("ALTER SYSTEM SET %s = on; SELECT pg_reload_conf()", name), "G1", "G2")
		}
	}
	names := p.SynchronousNames != ""
	switch {
	case p.SynchronousCommit == "off":
		l.add(Broken, "synchronous_commit", "synchronous_commit is off", "votes that Postgres acknowledged while Kafka or Redis was away are gone after a crash",
			"ALTER SYSTEM SET synchronous_commit = on; SELECT pg_reload_conf()", "G1")
	case several && !names:
		l.add(Warning, "synchronous_standby_names", "postgres.url names several hosts, and synchronous_standby_names is empty",
			"a promoted replica lacks the last commits; what is not in Kafka is lost", "ALTER SYSTEM SET synchronous_standby_names = '*'; SELECT pg_reload_conf()", "G1")
	case names && p.SynchronousCommit == "local":
		l.add(Warning, "synchronous_commit", "synchronous_commit is local, so commits do not wait for the synchronous replica",
			"a promoted replica lacks the last commits", "ALTER SYSTEM SET synchronous_commit = on; SELECT pg_reload_conf()", "G1")
	case names && p.InSync == 0:
		l.add(Broken, "synchronous_standby_names", "commits wait for a synchronous replica, and none is connected", "nothing can be committed: "+postgresLost,
			"start the replica, or ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_reload_conf()", "G1")
	default:
		l.ok("synchronous_commit", "commits wait for %d replicas and the disk", p.InSync)
	}
	if p.Autovacuum == "off" {
		l.add(Warning, "autovacuum", "autovacuum is off", "the tables of tallies and offsets change all the time and grow without it", "ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf()")
	}
	if p.StaleSlots > 0 {
		l.add(Warning, "slots", fmt.Sprintf("%d replication slots that nobody reads", p.StaleSlots), "the primary keeps its log for them until its disk is full",
			"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active, once it is clear that no replica comes back", "G1")
	}
	if p.Age > 1_000_000_000 {
		l.add(Warning, "wraparound", fmt.Sprintf("the oldest transaction id is %d old", p.Age), "at 2 billion Postgres takes no writes", "VACUUM (FREEZE), and find what keeps autovacuum from it", "G1")
	}
}

// judgeUse looks at what the server is busy with.
func (l *list) judgeUse(p primary, processes, poolSize int) {
	room := p.MaxConnections - p.Reserved
	most := processes * poolSize
	switch {
	case most > room:
		l.add(Warning, "max_connections", fmt.Sprintf("%d processes with postgres.pool-size %d may want %d connections, of which there are %d", processes, poolSize, most, room),
			"under load, or after a failover, some processes can't connect", fmt.Sprintf("max_connections of %d and more, or a smaller postgres.pool-size", most+p.Reserved+10), "G12")
	case p.Connections > room*9/10:
		l.add(Warning, "max_connections", fmt.Sprintf("%d of %d connections are taken", p.Connections, room), "soon nobody can connect", "raise max_connections, or find who holds them in pg_stat_activity", "G12")
	default:
		l.ok("max_connections", "%d of %d connections are taken", p.Connections, room)
	}
	if p.Oldest > 60 {
		l.add(Warning, "transactions", fmt.Sprintf("a transaction of %s is %.0f s old", p.OldestBy, p.Oldest),
			"while it goes on no partition can be made, dead rows pile up, and changes of epoch may wait", "look at it in pg_stat_activity; SELECT pg_terminate_backend(its process)", "G11")
	}
}
