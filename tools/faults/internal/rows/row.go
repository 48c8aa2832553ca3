package rows

import (
	"time"

	"github.com/littlevote/littlevote/tools/internal/deps"
	"github.com/littlevote/littlevote/tools/internal/system"
)

// Kind is what sort of thing happens.
type Kind string

// The kinds.
const (
	Kill     Kind = "kill"
	Stop     Kind = "stop" // frozen, and let go
	Cut      Kind = "cut"
	Flush    Kind = "flush"
	Failover Kind = "failover"
	Poison   Kind = "poison"
	Overload Kind = "overload"
	Clock    Kind = "clock"
	Change   Kind = "change" // somebody does it on purpose
)

// Row is one fault.
type Row struct {
	Name  string
	Kind  Kind
	Title string
	Sees  string // what a voter may see of it

	Servers []string // shared ones beside Kafka and Postgres
	// Instead names shared servers that take the place of others.
	Instead map[string]string
	// Synchronous makes Postgres wait for its replica.
	Synchronous bool
	Replicas    int  // of each service; 0 means two
	TLS         bool // the services ask each other for certificates
	FromBefore  bool // the services start from the programs of the version before this one
	SmallDisk   bool // Redis has a disk of its own, which can be filled
	Alone       bool // it measures how fast answers are: no other row runs beside it
	Proxied     bool // the services reach Redis, Kafka and Postgres by way of proxies
	Flags       map[system.Kind][]string
	Prepare     func(*Run) // before the services start; it may set what they need
	Happen      func(*Run) // the fault, from its beginning to its end; it says when it heals

	// Likes lets readers like things beside the voters; ColdIn says after what times further posts turn cold.
	Likes  bool
	ColdIn []time.Duration

	// Silence is the longest time without an acknowledged vote while the fault goes on; 0: votes may cease.
	Silence time.Duration
	// Back is the longest such time after it; 0 takes the default.
	Back time.Duration
	// Judge adds what only this row can judge, when all is at rest.
	Judge func(*Run)
	// Mortal says that the fault destroys what was acknowledged, by intent: Judge alone decides.
	Mortal bool
	// Closed says that the ballot takes no votes any more after the fault.
	Closed bool
}

// Limits that most rows share.
const (
	degraded = 3 * time.Second // until votes flow in the degraded mode
	back     = 5 * time.Second // until they flow after the end of a fault
)

func (r Row) replicas() int {
	if r.Replicas == 0 {
		return 2
	}
	return r.Replicas
}

func (r Row) back() time.Duration {
	if r.Back == 0 {
		return back
	}
	return r.Back
}

func (r Row) servers() []string {
	return append([]string{r.server(deps.Kafka), r.server(deps.Postgres)}, r.Servers...)
}

// server is the name under which a server runs for this row.
func (r Row) server(name string) string {
	if other := r.Instead[name]; other != "" {
		return other
	}
	return name
}

// All are all rows, in the order in which they are listed.
func All() []Row {
	var all []Row
	for _, some := range [][]Row{
		voteServiceRows(), persisterRows(), redisRows(), kafkaRows(), postgresRows(), wholeRows(), epochRows(), topologyRows(), moveRows(), upgradeRows(), secretRows(), collectorRows(), failpointRows(),
		likeRows(), voidRows(), handRows(),
	} {
		all = append(all, some...)
	}
	return all
}

// Find returns a row by its name.
func Find(name string) (Row, bool) {
	for _, r := range All() {
		if r.Name == name {
			return r, true
		}
	}
	return Row{}, false
}
