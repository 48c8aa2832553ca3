package system

import (
	"net"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/tools/e2e/internal/process"
)

// Kafka is an embedded broker that no other test uses, so that this one may take it away and bring it back, with what it
// has, at the same address.
type Kafka struct {
	Brokers []string
	dir     string
	port    int
	cluster *kfake.Cluster // nil while it is away
}

// OwnKafka starts one.
func OwnKafka(t testing.TB) *Kafka {
	t.Helper()
	address := process.Address(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	k := &Kafka{Brokers: []string{address}, dir: filepath.Join(testenv.Dir(t), "log")}
	if k.port, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	k.Start(t)
	t.Cleanup(k.Stop)
	return k
}

// Start starts it, or brings it back.
func (k *Kafka) Start(t testing.TB) {
	t.Helper()
	var err error
	if k.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(k.port), kfake.DataDir(k.dir)); err != nil {
		t.Fatal(err)
	}
}

// Stop takes it away.
func (k *Kafka) Stop() {
	if k.cluster != nil {
		k.cluster.Close()
		k.cluster = nil
	}
}
