package deps

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Address is where one server is.
type Address struct {
	Name  string
	Value string // a URL, or host:port
	PID   int    // 0 if it does not run; of several servers under one name: of one that runs
}

// Addresses are where servers are: a kind of Redis or Kafka that is several servers comes behind each of these.
type Addresses []Address

// String is one name=address line for each server.
func (a Addresses) String() string {
	var b strings.Builder
	for _, address := range a {
		fmt.Fprintf(&b, "%s=%s\n", address.Name, address.Value)
	}
	return b.String()
}

// Env is one line for a shell for each server that tests can use, so that they use it.
func (a Addresses) Env() string {
	var b strings.Builder
	for _, address := range a {
		switch address.Name {
		case Redis, RedisCluster, RedisSentinel:
			fmt.Fprintf(&b, "export LITTLEVOTE_TEST_REDIS_URL='%s'\n", address.Value)
		case Kafka:
			fmt.Fprintf(&b, "export LITTLEVOTE_TEST_KAFKA_BROKERS='%s'\n", address.Value)
		case KafkaCluster:
			fmt.Fprintf(&b, "export LITTLEVOTE_TEST_KAFKA_BROKERS='%s'\n", address.Value)
			fmt.Fprintf(&b, "export LITTLEVOTE_TEST_KAFKA_REPLICATION=%d\n", clusterBrokers)
		case Postgres:
			fmt.Fprintf(&b, "export LITTLEVOTE_TEST_POSTGRES_URL='%s'\n", address.Value)
		case Etcd:
			fmt.Fprintf(&b, "export LITTLEVOTE_TEST_ETCD_ENDPOINTS='http://%s'\n", address.Value)
		}
	}
	return b.String()
}

// Status lists the servers that were started in dir at some time, running or not.
func Status(dir string) (Addresses, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s, err := openSite(dir, nil)
	if err != nil {
		return nil, err
	}
	var started []string
	for _, name := range known() {
		if s.state.port(members(name)[0], client) != 0 {
			started = append(started, name)
		}
	}
	return s.addresses(started)
}

// BehindProxy is the address of Kafka to which a proxy forwards.
func BehindProxy(dir string) (string, error) {
	s, err := openSite(dir, nil)
	if err != nil {
		return "", err
	}
	return s.at(Kafka, behind), nil
}

func (s *site) addresses(names []string) (Addresses, error) {
	var all Addresses
	for _, name := range names {
		running := 0
		for _, member := range members(name) {
			value, err := s.server(member).address()
			if err != nil {
				return nil, err
			}
			address := Address{Name: member, Value: value}
			if p := s.state.process(member); p != nil {
				address.PID = p.PID
				running = p.PID
			}
			all = append(all, address)
		}
		switch name {
		case RedisCluster:
			all = append(all, Address{Name: name, Value: s.clusterURL(), PID: running})
		case RedisSentinel:
			all = append(all, Address{Name: name, Value: s.sentinelURL(), PID: running})
		case KafkaCluster:
			all = append(all, Address{Name: name, Value: s.kafkaClusterBrokers(), PID: running})
		}
	}
	return all, nil
}
