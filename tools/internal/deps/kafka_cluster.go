package deps

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// KafkaCluster is the name of a cluster of three brokers, each of which may lead the others: it lives while two of them do.
const KafkaCluster = "kafka-cluster"

const clusterBrokers = 3

// kafkaBrokers are the names of the brokers.
func kafkaBrokers() []string {
	names := make([]string, clusterBrokers)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", KafkaCluster, i+1)
	}
	return names
}

// startKafkaCluster starts the brokers, and waits until they have found each other. Each has the ports of all in its
// settings, so those are chosen first.
func (s *site) startKafkaCluster(ctx context.Context) error {
	if err := (kafkaServer{s, KafkaCluster}).fetchJars(ctx); err != nil {
		return err
	}
	for _, name := range kafkaBrokers() {
		if s.state.process(name) != nil {
			continue
		}
		if err := s.choosePorts(ctx, name, s.server(name).ports()); err != nil {
			return err
		}
	}
	group, starting := errgroup.WithContext(ctx)
	for _, name := range kafkaBrokers() {
		group.Go(func() error { return s.startOnce(starting, name, readyTimeout) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := s.settled(ctx, KafkaCluster, s.kafkaClusterReady); err != nil {
		return err
	}
	s.say("%s is ready", KafkaCluster)
	return nil
}

func (s *site) kafkaClusterReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(s.kafkaClusterBrokers(), ",")...), kgo.RequestRetries(0))
	if err != nil {
		return err
	}
	defer c.Close()
	found, err := kadm.NewClient(c).BrokerMetadata(ctx)
	if err == nil && (len(found.Brokers) < clusterBrokers || found.Controller < 0) {
		err = fmt.Errorf("%d brokers know of each other, the controller is %d", len(found.Brokers), found.Controller)
	}
	return err
}

// kafkaClusterBrokers is where clients of the cluster begin.
func (s *site) kafkaClusterBrokers() string {
	var all []string
	for _, name := range kafkaBrokers() {
		all = append(all, s.at(name, client))
	}
	return strings.Join(all, ",")
}

// clusterID is the id that the brokers of a cluster share: it is chosen once.
func (k kafkaServer) clusterID() (string, error) {
	if k.name == Kafka {
		return newClusterID(), nil
	}
	file := filepath.Join(k.dir, KafkaCluster+".id")
	for {
		id, err := os.ReadFile(file)
		if err == nil {
			return string(id), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		// Written aside and linked, so that of several brokers one is the first, and nobody reads half an id.
		aside := filepath.Join(k.home(k.name), "cluster.id")
		if err := os.WriteFile(aside, []byte(newClusterID()), 0o600); err != nil {
			return "", err
		}
		if err := os.Link(aside, file); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
}
