package deps

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// kafkaVersion is the version of Apache Kafka that is run.
const kafkaVersion = "4.1.0"

// kafkaPom makes Maven fetch Kafka's jars and those that they need.
const kafkaPom = `<project><modelVersion>4.0.0</modelVersion><groupId>littlevote</groupId><artifactId>kafka</artifactId><version>1</version>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>` + kafkaVersion + `</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
</dependencies></project>
`

// kafkaProperties are the settings of a broker that is a controller too. Topics are made by those who own them. A broker
// that was killed may come back only when its session is over, so that is short; and so may the session of a consumer be.
const kafkaProperties = `process.roles=broker,controller
node.id=%[4]d
controller.quorum.voters=%[5]s
listeners=PLAINTEXT://%[1]s,CONTROLLER://%[2]s
advertised.listeners=PLAINTEXT://%[1]s
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=%[3]s
auto.create.topics.enable=false
offsets.topic.replication.factor=%[6]d
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=%[6]d
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=%[6]d
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
`

// kafkaServer is the one broker, or one of a cluster.
type kafkaServer struct {
	*site
	name string
}

// behind is the purpose of the port that a proxy forwards to.
const behind = "behind-proxy"

// controllers is the purpose of the port on which brokers talk among themselves of who leads.
const controllers = "controller"

func (kafkaServer) ports() []string { return []string{client, controllers, behind} }

// proxied adds a second listener whose clients are told the address of a proxy before it.
func (k kafkaServer) proxied(properties string) string {
	return strings.NewReplacer(
		"\nlisteners=", "\nlisteners=PROXIED://"+k.at(Kafka, behind)+",",
		"\nadvertised.listeners=", "\nadvertised.listeners=PROXIED://"+k.kafkaProxy+",",
		"CONTROLLER:PLAINTEXT\n", "CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT\n",
	).Replace(properties) + "inter.broker.listener.name=PLAINTEXT\n"
}

func (k kafkaServer) command(ctx context.Context) (*exec.Cmd, error) {
	if err := k.fetchJars(ctx); err != nil {
		return nil, err
	}
	properties := filepath.Join(k.home(k.name), "server.properties")
	if err := os.WriteFile(properties, []byte(k.properties()), 0o644); err != nil {
		return nil, err
	}
	if err := k.format(ctx, properties); err != nil {
		return nil, err
	}
	heap := "-Xmx512m"
	if k.name != Kafka {
		heap = "-Xmx256m" // there are three
	}
	return exec.Command("java", heap, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", k.classpath(), "kafka.Kafka", properties), nil
}

// peers are the names of this broker and of those it forms a cluster with.
func (k kafkaServer) peers() []string {
	if k.name == Kafka {
		return []string{Kafka}
	}
	return kafkaBrokers()
}

func (k kafkaServer) properties() string {
	peers := k.peers()
	voters := make([]string, len(peers))
	for i, peer := range peers {
		voters[i] = fmt.Sprintf("%d@%s", i+1, k.at(peer, controllers))
	}
	text := fmt.Sprintf(kafkaProperties, k.at(k.name, client), k.at(k.name, controllers), k.data(),
		slices.Index(peers, k.name)+1, strings.Join(voters, ","), len(peers))
	if k.kafkaProxy != "" && k.name == Kafka {
		text = k.proxied(text)
	}
	return text
}

func (k kafkaServer) data() string { return filepath.Join(k.home(k.name), "data") }

func (k kafkaServer) jars() string { return filepath.Join(k.cacheDir, "libs-"+kafkaVersion) }

func (k kafkaServer) classpath() string { return filepath.Join(k.jars(), "*") }

// fetchJars gets Kafka's jars from Maven, once for each cache directory.
func (k kafkaServer) fetchJars(ctx context.Context) error {
	if k.haveJars() {
		return nil
	}
	k.say("kafka: fetching Apache Kafka %s by Maven", kafkaVersion)
	if err := os.MkdirAll(k.cacheDir, 0o755); err != nil {
		return err
	}
	aside, err := os.MkdirTemp(k.cacheDir, "fetch-")
	if err != nil {
		return err
	}
	pom := filepath.Join(aside, "pom.xml")
	if err := os.WriteFile(pom, []byte(kafkaPom), 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", "-DoutputDirectory="+filepath.Join(aside, "libs"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("mvn: %w\n%s", err, out), os.RemoveAll(aside))
	}
	// Renamed, so that the directory is whole or not there. Another command may have been faster.
	err = os.Rename(filepath.Join(aside, "libs"), k.jars())
	if k.haveJars() {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(aside))
}

func (k kafkaServer) haveJars() bool {
	_, err := os.Stat(k.jars())
	return err == nil
}

// format makes the log directory of a new broker.
func (k kafkaServer) format(ctx context.Context, properties string) error {
	if _, err := os.Stat(filepath.Join(k.data(), "meta.properties")); err == nil {
		return nil
	}
	id, err := k.clusterID()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", k.classpath(),
		"kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", id, "-c", properties)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("format Kafka's log directory: %w\n%s", err, out)
	}
	return nil
}

// newClusterID is a new id in the form that Kafka wants: 16 random bytes. One that begins with a dash would be taken for
// an option.
func newClusterID() string {
	id := make([]byte, 16)
	for {
		// It never fails, by its documentation.
		_, _ = rand.Read(id)
		if text := base64.RawURLEncoding.EncodeToString(id); !strings.HasPrefix(text, "-") {
			return text
		}
	}
}

func (k kafkaServer) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := kgo.NewClient(kgo.SeedBrokers(k.at(k.name, client)), kgo.RequestRetries(0))
	if err != nil {
		return err
	}
	defer c.Close()
	found, err := kadm.NewClient(c).BrokerMetadata(ctx)
	if err == nil && (len(found.Brokers) == 0 || found.Controller < 0) {
		err = errors.New("it has no broker or no controller yet")
	}
	return err
}

func (k kafkaServer) address() (string, error) { return k.at(k.name, client), nil }

func (kafkaServer) stopSignal() syscall.Signal { return syscall.SIGTERM }
