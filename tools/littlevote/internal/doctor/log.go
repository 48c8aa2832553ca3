package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/littlevote/littlevote/libs/events"

	"github.com/littlevote/littlevote/tools/littlevote/internal/offsets"
	"github.com/littlevote/littlevote/tools/littlevote/internal/reach"
)

// lagWarning and lagBroken are how long ago the ledger may have had everything.
const (
	lagWarning = 10 * time.Second
	lagBroken  = 5 * time.Minute
)

// examineLog compares the ledger with the log.
func (l *list) examineLog(ctx context.Context, s *settings, pool *pgxpool.Pool) {
	stores := &reach.Stores{Brokers: s.Kafka.Brokers, TopicPrefix: s.Kafka.TopicPrefix, Settings: &s.Kafka}
	at, err := offsets.Look(ctx, stores, pool)
	if err != nil {
		return // told by the part that looks at Kafka
	}
	var now time.Time
	if err := pool.QueryRow(ctx, "SELECT now()").Scan(&now); err != nil {
		return
	}
	l.judgeLag(at, now)
	if waiting, err := waitingLetters(ctx, stores, pool); err == nil {
		l.judgeDeadLetters(waiting)
	}
}

func (l *list) judgeLag(o offsets.Overview, now time.Time) {
	var behind int64
	var oldest time.Duration
	for _, p := range o.Partitions {
		if p.Halted() {
			l.add(Broken, "offsets", fmt.Sprintf("partition %d: %s", p.Partition, p.State), "the persister halts there rather than pass over votes", "`littlevote offsets show`, then `littlevote offsets accept`", "G1", "G11")
		}
		behind += p.Behind
		if p.Behind > 0 && p.CaughtUpAt != nil {
			oldest = max(oldest, now.Sub(*p.CaughtUpAt))
		}
	}
	what := fmt.Sprintf("the ledger is %d records behind the log", behind)
	const why, mend = "results, and a change of epoch, wait for it; what is older than kafka.retention is lost", "start persisters (at most one a partition works), look at their logs and at Postgres"
	switch {
	case oldest > lagBroken:
		l.add(Broken, "lag", fmt.Sprintf("%s, for %v", what, oldest.Round(time.Second)), why, mend, "G1", "G11")
	case oldest > lagWarning:
		l.add(Warning, "lag", fmt.Sprintf("%s, for %v", what, oldest.Round(time.Second)), why, mend, "G1", "G11")
	default:
		l.ok("lag", "%s", what)
	}
}

func (l *list) judgeDeadLetters(waiting int64) {
	if waiting == 0 {
		l.ok("dead-letters", "no dead letter waits")
		return
	}
	l.add(Warning, "dead-letters", fmt.Sprintf("%d dead letters wait", waiting), "records that nobody could read: if one was ours, its votes are missing", "`littlevote dlq list`, then replay or drop each", "G1")
}

// waitingLetters counts the dead letters that nobody has replayed or dropped.
func waitingLetters(ctx context.Context, s *reach.Stores, pool *pgxpool.Pool) (int64, error) {
	client, err := s.Client()
	if err != nil {
		return 0, err
	}
	defer client.Close()
	admin, name := kadm.NewClient(client), s.Topics().DeadLetters
	topic, err := events.Describe(ctx, admin, name)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	first, end, err := events.Bounds(ctx, admin, name)
	if err != nil {
		return 0, err
	}
	var waiting int64
	for partition, last := range end {
		handled := int64(0)
		err := pool.QueryRow(ctx, `SELECT count(*) FROM dead_letters WHERE topic_id = $1 AND partition = $2 AND "offset" >= $3`,
			[16]byte(topic.ID), partition, first[partition]).Scan(&handled)
		if err != nil {
			return 0, err
		}
		waiting += last - first[partition] - handled
	}
	return waiting, nil
}
