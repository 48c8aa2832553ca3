package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
)

// changeTime is long for a change of epoch: it waits for the log and for leases, so a lease is added to it.
const changeTime = 30 * time.Second

// examineLedger looks at what the services have written about themselves, and at the log beside it.
func examineLedger(ctx context.Context, s *settings, clock func() time.Time) []Finding {
	if s.Postgres.URL == "" {
		return nil
	}
	l := &list{area: "ledger"}
	pool, err := pgledger.Open(ctx, s.Postgres)
	if err != nil {
		return nil // told by the part that looks at Postgres
	}
	defer pool.Close()
	if err := pool.Ping(ctx); err != nil {
		return nil
	}
	has, want, err := pgledger.SchemaVersion(ctx, s.Postgres.URL)
	if err != nil {
		l.unreachable("the table of migrations", err, "nobody knows which tables are there", "`littlevote migrate`")
		return l.all
	}
	if l.judgeSchema(has, want); has < want {
		return l.all // the questions below are of this version
	}
	l.examineEpoch(ctx, pool, s.Participant.Lease)
	l.examinePartitions(ctx, pool, clock())
	if len(s.Kafka.Brokers) > 0 {
		l.examineLog(ctx, s, pool)
	}
	return l.all
}

func (l *list) judgeSchema(has, want int64) {
	switch {
	case has < want:
		l.add(Broken, "migrations", fmt.Sprintf("the tables are of version %d, this program needs %d", has, want), "services of this version do not start", "`littlevote migrate`", "G1")
	case has > want:
		l.add(Note, "migrations", fmt.Sprintf("the tables are of version %d, this program knows %d", has, want), "somebody updates, or rolled back", "use the doctor of the newest version that runs")
	default:
		l.ok("migrations", "the tables are of version %d", has)
	}
}

func (l *list) examineEpoch(ctx context.Context, pool *pgxpool.Pool, lease time.Duration) {
	now, err := epoch.Show(ctx, pool)
	if errors.Is(err, pgledger.ErrNoEpoch) {
		l.add(Note, "epoch", "no epoch was ever opened", "the first vote-service does that", "start a vote-service")
		return
	}
	if err != nil {
		l.unreachable("the table of epochs", err, "nobody knows who decides votes", "look at Postgres's log")
		return
	}
	l.judgeEpoch(now, lease)
	l.judgeProcesses(now)
}

func (l *list) judgeEpoch(o epoch.Overview, lease time.Duration) {
	age := o.Now.Sub(o.Since).Round(time.Second)
	switch {
	case o.State == "moving":
		l.add(Warning, "epoch", "this database is a copy on its way (`littlevote dbmove`)", "nobody decides votes here", "go on with `littlevote dbmove`, or look at the other database")
	case o.State != "open" && age > changeTime+lease:
		l.add(Broken, "epoch", fmt.Sprintf("epoch %d is %s for %v: %s", o.Epoch, o.State, age, o.Reason), "no vote is taken until the next one opens",
			"`littlevote epoch show` names whom it waits for: start vote-services and persisters, bring Kafka or Postgres back", "G1", "G11")
	case o.State != "open":
		l.add(Note, "epoch", fmt.Sprintf("epoch %d is %s for %v: %s", o.Epoch, o.State, age, o.Reason), "votes wait until the next one opens", "")
	case o.Mode == epoch.Postgres && o.Held:
		l.add(Warning, "epoch", fmt.Sprintf("votes are decided in Postgres for %v, since an operator holds them there", age), "that is slower", "`littlevote epoch release`, when Redis is where it is to be", "G12")
	case o.Mode == epoch.Postgres:
		l.add(Warning, "epoch", fmt.Sprintf("votes are decided in Postgres for %v: %s", age, o.Reason), "that is slower; they go back by themselves when Redis is well", "mend Redis", "G12")
	default:
		l.ok("epoch", "epoch %d is open in Redis for %v", o.Epoch, age)
	}
}

// judgeProcesses looks at who takes part.
func (l *list) judgeProcesses(o epoch.Overview) {
	live := map[string]int{}
	for _, p := range o.Participants {
		switch {
		case p.Stopped && o.Now.After(p.LeaseUntil):
		case o.Now.Before(p.LeaseUntil):
			live[p.Service]++
			if p.RedisAwaySince != nil {
				l.add(Warning, "redis-away", fmt.Sprintf("%s has no answer from Redis for %v", p.ID, o.Now.Sub(*p.RedisAwaySince).Round(time.Second)), "its voters are refused or wait", "look at what stands between it and Redis", "G12")
			}
		}
	}
	const mend = "start it; two of each, so that one may die"
	switch live["vote-service"] {
	case 0:
		l.add(Broken, "participants", "no vote-service lives", "nobody takes votes", mend, "G1")
	case 1:
		l.add(Note, "participants", "one vote-service lives", "when it dies votes wait until it is back", mend)
	default:
		l.ok("participants", "%d vote-services live", live["vote-service"])
	}
	least, most, persisters := 1<<30, 0, 0
	for _, p := range o.Persisters {
		if o.Now.Before(p.LeaseUntil) {
			persisters++
			least, most = min(least, p.ReadsFormat), max(most, p.ReadsFormat)
		}
	}
	switch {
	case persisters == 0:
		l.add(Broken, "persisters", "no persister lives", "votes stand in Kafka alone, and are lost when its retention has passed", mend, "G1", "G11")
	case least != most:
		l.add(Warning, "persisters", fmt.Sprintf("persisters read formats %d to %d", least, most), "an update is under way; until it is over new kinds of votes are refused", "update the older ones")
	default:
		l.ok("persisters", "%d persisters live", persisters)
	}
}

func (l *list) examinePartitions(ctx context.Context, pool *pgxpool.Pool, now time.Time) {
	state, err := pgledger.LookAtPartitions(ctx, pool, now)
	if err != nil {
		l.unreachable("the list of partitions", err, "nobody knows which are there", "look at Postgres's log")
		return
	}
	l.judgePartitions(state)
}

func (l *list) judgePartitions(p pgledger.PartitionState) {
	switch {
	case len(p.Missing) > 0:
		l.add(Warning, "partitions", fmt.Sprintf("partitions are not there: %v", p.Missing), "rows of those days go to the default partition, stay there, and are never dropped or archived with their day",
			"persisters make them three days ahead: look for \"upkeep of the tables\" in their logs; `littlevote migrate` makes them too")
	default:
		l.ok("partitions", "the partitions of today and the next days are there")
	}
	for table, there := range p.InDefault {
		if there {
			l.add(Note, "default", "the default partition of "+table+" holds rows", "no persister had made their day's partition in time, or a clock was wrong; they count like all others", "")
		}
	}
}
