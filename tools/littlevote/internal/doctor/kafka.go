package doctor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/events"
)

// recordBytes is the size of the largest record that a vote-service writes.
const recordBytes = 1 << 20

// topicFacts are what the cluster says of a topic.
type topicFacts struct {
	name       string
	partitions []kadm.PartitionDetail
	settings   map[string]string
}

// number is a setting that is one.
func (t topicFacts) number(name string) (int64, bool) {
	value, err := strconv.ParseInt(t.settings[name], 10, 64)
	return value, err == nil
}

const kafkaLost = "without Kafka votes go to Postgres, slower, and Postgres is then the only place where they stand"

func examineKafka(ctx context.Context, s *settings, _ func() time.Time) []Finding {
	if len(s.Kafka.Brokers) == 0 {
		return nil
	}
	l := &list{area: "kafka"}
	client, err := events.NewClient(s.Kafka, slog.New(slog.DiscardHandler))
	if err != nil {
		l.unreachable("kafka.brokers", err, kafkaLost, "correct kafka.brokers")
		return l.all
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	ctx, cancel := context.WithTimeout(ctx, 2*storeTimeout)
	defer cancel()
	brokers, err := admin.ListBrokers(ctx)
	if err != nil {
		l.unreachable("Kafka", err, kafkaLost, "start it, or correct kafka.brokers and what stands between")
		return l.all
	}
	l.ok("reach", "Kafka %s answers, with %d brokers", kafkaVersion(ctx, admin), len(brokers))
	topics := events.NewTopics(s.Kafka.TopicPrefix)
	for _, name := range []string{topics.Votes, topics.DeadLetters, topics.Dropped} {
		facts, err := askTopic(ctx, admin, name)
		switch {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			l.missing(name)
		case err != nil:
			l.unreachable("topic "+name, err, kafkaLost, "look at the brokers' logs")
		case name == topics.Votes:
			l.judgeVoteTopic(facts, s.Kafka)
		default:
			l.judgeReplication(facts)
		}
	}
	return l.all
}

func kafkaVersion(ctx context.Context, admin *kadm.Client) string {
	versions, err := admin.ApiVersions(ctx)
	if err != nil {
		return ""
	}
	for _, broker := range versions.Sorted() {
		if broker.Err == nil {
			return broker.VersionGuess()
		}
	}
	return ""
}

func askTopic(ctx context.Context, admin *kadm.Client, name string) (topicFacts, error) {
	found, err := admin.ListTopics(ctx, name)
	if err != nil {
		return topicFacts{}, err
	}
	if found[name].Err != nil {
		return topicFacts{}, found[name].Err
	}
	facts := topicFacts{name: name, partitions: found[name].Partitions.Sorted(), settings: map[string]string{}}
	described, err := admin.DescribeTopicConfigs(ctx, name)
	if err != nil {
		return topicFacts{}, err
	}
	for _, resource := range described {
		for _, c := range resource.Configs {
			facts.settings[c.Key] = c.MaybeValue()
		}
	}
	return facts, nil
}

func (l *list) missing(name string) {
	l.add(Broken, "topic", "there is no topic "+name, "nothing can be written there, so votes go to Postgres alone",
		"start a vote-service, which makes it; if it was there before, `littlevote offsets show` says what is lost; or correct kafka.topic-prefix", "G1")
}

func (l *list) judgeVoteTopic(t topicFacts, cfg config.Kafka) {
	if n := len(t.partitions); n < cfg.Partitions {
		l.add(Broken, "partitions", fmt.Sprintf("%s has %d partitions, kafka.partitions is %d", t.name, n, cfg.Partitions),
			"vote-services and persisters do not start", fmt.Sprintf("kafka-topics.sh --alter --topic %s --partitions %d, or lower kafka.partitions", t.name, cfg.Partitions))
	} else {
		l.ok("partitions", "%s has %d partitions", t.name, n)
	}
	l.judgeReplication(t)
	l.judgeRetention(t, cfg)
	if policy := t.settings["cleanup.policy"]; policy != "" && policy != "delete" {
		l.add(Broken, "cleanup.policy", fmt.Sprintf("cleanup.policy of %s is %s", t.name, policy), "a compacted log forgets records: all batches of a lane share a key",
			alter(t.name, "cleanup.policy=delete"), "G1", "G2")
	}
	if most, known := t.number("max.message.bytes"); known && most < recordBytes {
		l.add(Broken, "max.message.bytes", fmt.Sprintf("max.message.bytes of %s is %d", t.name, most), "large batches are refused and go to Postgres",
			alter(t.name, fmt.Sprintf("max.message.bytes=%d", recordBytes)), "G12")
	}
	if stamp := t.settings["message.timestamp.type"]; stamp != "" && stamp != "LogAppendTime" {
		l.add(Warning, "message.timestamp.type", fmt.Sprintf("message.timestamp.type of %s is %s", t.name, stamp), "a producer with a wrong clock decides how long its records are kept",
			alter(t.name, "message.timestamp.type=LogAppendTime"), "G1")
	}
}

func alter(topic, setting string) string {
	return fmt.Sprintf("kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config %s", topic, setting)
}

// judgeReplication looks at how many brokers may be lost.
func (l *list) judgeReplication(t topicFacts) {
	replicas, inSync, leaderless := 1<<30, 1<<30, 0
	for _, p := range t.partitions {
		replicas, inSync = min(replicas, len(p.Replicas)), min(inSync, len(p.ISR))
		if p.Leader < 0 {
			leaderless++
		}
	}
	least, known := t.number("min.insync.replicas")
	switch {
	case leaderless > 0:
		l.add(Broken, "leader", fmt.Sprintf("%d partitions of %s have no leader", leaderless, t.name), kafkaLost, "start the brokers that are away", "G1")
	case known && int64(inSync) < least:
		l.add(Broken, "in-sync", fmt.Sprintf("a partition of %s has %d replicas in sync, min.insync.replicas is %d", t.name, inSync, least), kafkaLost, "start the brokers that are away", "G1")
	case inSync < replicas:
		l.add(Warning, "in-sync", fmt.Sprintf("a partition of %s has %d of %d replicas in sync", t.name, inSync, replicas), "one more loss may stop it", "start the brokers that are away", "G1")
	}
	switch {
	case replicas < 2:
		l.add(Warning, "replication", t.name+" has one replica", "the loss of that broker's disk loses votes that are not yet in Postgres",
			"three brokers, kafka.replication: 3 for new topics, kafka-reassign-partitions.sh for this one", "G1")
	case known && least < 2:
		l.add(Warning, "min.insync.replicas", fmt.Sprintf("min.insync.replicas of %s is %d", t.name, least),
			"a record may be acknowledged that stands on one broker alone", alter(t.name, "min.insync.replicas=2"), "G1")
	case known && least >= int64(replicas):
		l.add(Warning, "min.insync.replicas", fmt.Sprintf("min.insync.replicas of %s is %d, with %d replicas", t.name, least, replicas),
			"every broker that is away, be it for an update, sends votes to Postgres", alter(t.name, fmt.Sprintf("min.insync.replicas=%d", replicas-1)))
	default:
		l.ok("replication", "%s has %d replicas, %d in sync", t.name, replicas, inSync)
	}
	if replicas > 1 && t.settings["unclean.leader.election.enable"] == "true" {
		l.add(Broken, "unclean.leader.election", "unclean.leader.election.enable is true for "+t.name, "a broker that lacks acknowledged votes may become the leader, and they are gone",
			alter(t.name, "unclean.leader.election.enable=false"), "G1", "G2")
	}
}

// judgeRetention compares how long records are kept with how long batch ids are, and with how long Postgres may be away.
func (l *list) judgeRetention(t topicFacts, cfg config.Kafka) {
	ms, known := t.number("retention.ms")
	kept := time.Duration(min(ms, int64(365*24*time.Hour/time.Millisecond*10))) * time.Millisecond
	set := fmt.Sprintf("retention.ms=%d", cfg.Retention.Milliseconds())
	switch {
	case !known:
	case ms < 0 || kept > cfg.Retention:
		l.add(Broken, "retention", fmt.Sprintf("%s keeps records for longer than kafka.retention (%v)", t.name, cfg.Retention),
			"batch ids are forgotten after kafka.retention and a day: a record that is read again after that counts twice", alter(t.name, set)+", or raise kafka.retention for every service", "G2")
	case kept < cfg.Retention:
		l.add(Warning, "retention", fmt.Sprintf("%s keeps records for %v, kafka.retention is %v", t.name, kept, cfg.Retention),
			"Postgres may be away for no longer than that, or votes are lost", alter(t.name, set), "G1")
	default:
		l.ok("retention", "%s keeps records for %v: Postgres may be away for no longer", t.name, kept)
	}
	if size, known := t.number("retention.bytes"); known && size > 0 {
		l.add(Warning, "retention.bytes", fmt.Sprintf("retention.bytes of %s is %d", t.name, size), "under load records may go before the persister has read them, whatever their age",
			alter(t.name, "retention.bytes=-1"), "G1")
	}
}
