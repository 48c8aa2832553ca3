package protocol

// Fault is something that goes wrong, or comes at a bad time.
type Fault uint8

// The faults.
const (
	ProduceFails    Fault = iota // known unsent
	ProduceLost                  // no answer; the record may be in the log, or get there at any time, or never
	PgFails                      // no effect
	CommitLost                   // no answer; it may be committed, or will be, or not
	ReplyLost                    // of a script; it ran, or will, or not
	Resent                       // an admission runs once more, some time
	Killed                       // a vote-service
	LeaseOver                    // a vote-service is slow beyond its lease
	Slow                         // an owner is slow, another instance takes its batch over
	Flushed                      // Redis is empty
	Away                         // Redis does not answer, and comes back as it was
	CutOff                       // one instance does not reach Redis
	Copied                       // the replica has caught up with the primary, for the moment
	Promoted                     // the replica becomes a primary; the old one lives on
	Planned                      // somebody ends the epoch without need
	LoaderStalls                 // Postgres ends the loader's transaction; the loader does not know
	SwitchLost                   // the switch is committed, its reply is lost
	PersisterStalls              // with a record in hand; its partition goes to another
	PersisterDies                //
	Tripped                      // a record of ours can't be applied until somebody repairs what hinders it
	TicketEnds                   // the next one is the newest
	Drifted                      // the tally in Redis loses a batch
	numFaults
)

// Request is what a client sends: one vote, or the retraction of one.
type Request struct {
	Instance int
	Key      int // 0: none. Requests with the same key are attempts at the same vote
	Ticket   int // the one it names; 0: the newest
	Voter    bool
	Retracts int // 1 + the request whose vote it takes back; it is sent after that one was answered with success
	After    int // 1 + a request that must have been answered
}

// Scenario is a bounded configuration.
type Scenario struct {
	Name string
	What string // what it allows, for people

	Requests   []Request
	Partitions int
	Faults     map[Fault]int // how often each may happen
	AtMost     int           // and how many in all
	Replicated bool          // Redis may have a replica: no short way through the barrier
	Changers   int           // how many instances work on a change at once
	Cap        int           // votes per ticket
	VoterLimit int
	Hold       bool // an epoch may be ended for Postgres though Redis is well
	Certify    bool
	Reconcile  bool
	Read       bool // counts are read from Postgres
	NewBallot  bool // the ballot is made in the first epoch, by a vote-service
	Enough     int  // states that are enough for CI, if it has more
}

// Model is a scenario under the rules, some of which may be taken away.
type Model struct {
	Scenario
	without [numRules]bool
}

// New returns a model; without lists rules that are taken away.
func New(s Scenario, without ...Rule) *Model {
	s.Partitions = max(s.Partitions, 1)
	s.Changers = max(s.Changers, 1)
	if s.Cap == 0 {
		s.Cap = maxBatches
	}
	if s.VoterLimit == 0 {
		s.VoterLimit = 1
	}
	m := &Model{Scenario: s}
	for _, r := range without {
		m.without[r] = true
	}
	return m
}

// Init is an epoch in Redis that was just opened on an empty ledger.
func (m *Model) Init() State {
	first := ledger{epoch: 1, mode: redis, name: 1}
	s := State{row: row{ledger: first, open: true}, lastName: 1, lastRepl: 1, faults: uint8(m.AtMost)}
	s.nodes[0] = node{up: true, master: true, replid: 1}
	s.nodes[0].names[1] = keys{marker: !m.NewBallot, epoch: 1, replid: 1, voterKnown: true, ticket: 1}
	if m.NewBallot {
		s.nodes[0].names[1] = keys{}
	}
	s.nodes[1] = s.nodes[0] // a replica in step, of which nothing is seen until it is promoted
	s.nodes[1].master = false
	for i := range s.instances {
		s.instances[i] = instance{up: true, believes: first, joined: 1}
	}
	for f, n := range m.Faults {
		s.left[f] = uint8(n)
	}
	return s
}

// may spends a fault that may still happen.
func (s *State) may(f Fault) {
	s.left[f]--
	s.faults--
}

// still says whether a fault may happen, without spending it.
func (s *State) still(f Fault) bool { return s.left[f] > 0 && s.faults > 0 }

// with returns a copy of the state in which the fault was spent.
func (s *State) with(f Fault) *State {
	n := *s
	n.may(f)
	return &n
}

// Scenarios are all configurations.
var Scenarios = []Scenario{
	{
		Name:     "stores",
		What:     "one vote and a retry through the other instance; Kafka and Postgres fail, or do not answer; an owner is slow",
		Requests: []Request{{Instance: 0, Key: 1}, {Instance: 1, Key: 1}},
		Faults:   map[Fault]int{ProduceFails: 1, ProduceLost: 1, PgFails: 1, CommitLost: 1, Slow: 1, Killed: 1},
		AtMost:   3,
	},
	{
		Name:     "replies",
		What:     "replies of scripts are lost, commands come late or twice, tickets end meanwhile",
		Requests: []Request{{Instance: 0, Key: 1, Ticket: 1}, {Instance: 1, Key: 1, Ticket: 1, After: 1}},
		Faults:   map[Fault]int{ReplyLost: 2, Resent: 1, TicketEnds: 1, Killed: 1, ProduceFails: 1, PgFails: 1},
		AtMost:   3,
	},
	{
		Name:     "redis-loss",
		What:     "Redis is emptied; records and commits come late; a retry",
		Requests: []Request{{Instance: 0, Key: 1}, {Instance: 1, Key: 1}},
		Faults:   map[Fault]int{Flushed: 1, ProduceLost: 1, CommitLost: 1, ReplyLost: 1, LeaseOver: 1, Killed: 1},
		AtMost:   2,
	},
	{
		Name:     "pg-mode",
		What:     "Redis is away: votes are decided in Postgres, and then in Redis again",
		Requests: []Request{{Instance: 0, Key: 1}, {Instance: 1, Key: 1}},
		Faults:   map[Fault]int{Away: 1, CommitLost: 1, ProduceLost: 1, CutOff: 1},
		AtMost:   2, Changers: 1,
	},
	{
		Name:     "hold",
		What:     "an operator moves the epoch to Postgres while Redis is well",
		Requests: []Request{{Instance: 0, Key: 1}, {Instance: 1, Key: 1}},
		Faults:   map[Fault]int{Planned: 1, ProduceLost: 1, LeaseOver: 1, Killed: 1},
		AtMost:   2, Hold: true,
	},
	{
		Name:       "split-brain",
		What:       "a replica that lacks a suffix is promoted; the old primary lives on and serves whoever still talks to it",
		Requests:   []Request{{Instance: 0, Key: 1}, {Instance: 1, Key: 1}},
		Faults:     map[Fault]int{Copied: 1, Promoted: 1, LeaseOver: 1},
		AtMost:     3,
		Replicated: true,
	},
	{
		Name:     "load",
		What:     "a loader dies half way, or is so slow that another one loads; the reply of the switch is lost; Redis is emptied on the way",
		Requests: []Request{{Instance: 0, Key: 1}, {Instance: 1, Key: 1}},
		Faults:   map[Fault]int{Planned: 1, Flushed: 1, LoaderStalls: 1, SwitchLost: 1, Killed: 1},
		AtMost:   3, Changers: 2,
	},
	{
		Name:     "slow-loader",
		What:     "a loader's transaction ends without its knowledge: another one loads, and the slow one goes on writing",
		Requests: []Request{{Instance: 0}, {Instance: 1, After: 1}},
		Faults:   map[Fault]int{Planned: 1, LoaderStalls: 1},
		AtMost:   2, Changers: 2,
	},
	{
		Name:       "load-failover",
		What:       "a replica is promoted while a load goes on",
		Requests:   []Request{{Instance: 0, Key: 1}, {Instance: 1, Key: 1, After: 1}},
		Faults:     map[Fault]int{Planned: 1, Copied: 1, Promoted: 1},
		AtMost:     3,
		Replicated: true,
	},
	{
		Name:       "persister",
		What:       "two lanes on two partitions; a persister stalls with a record in hand, dies, meets a record it can't apply; recovery writes into the other lane",
		Requests:   []Request{{Instance: 0, Key: 1}, {Instance: 1, Key: 1}, {Instance: 1}},
		Partitions: 2,
		Faults:     map[Fault]int{PersisterStalls: 1, PersisterDies: 1, Tripped: 1, ProduceLost: 1},
		AtMost:     2,
	},
	{
		Name:     "cap",
		What:     "a ticket with one use, two votes; refunds, and a replica that lacks a suffix",
		Requests: []Request{{Instance: 0}, {Instance: 1}},
		Cap:      1, Replicated: true,
		Faults: map[Fault]int{ProduceFails: 1, PgFails: 1, Slow: 1, Copied: 1, Promoted: 1},
		AtMost: 3,
	},
	{
		Name:       "voters",
		What:       "a voter with one vote casts, takes it back and casts again, through two instances and lanes; Redis is emptied on the way",
		Partitions: 2,
		Requests:   []Request{{Instance: 0, Voter: true}, {Instance: 1, Voter: true, Retracts: 1}, {Instance: 0, Voter: true}},
		Faults:     map[Fault]int{Flushed: 1, ProduceFails: 1, PgFails: 1},
		AtMost:     2,
	},
	{
		Name:     "look-up",
		What:     "keys are looked up in one epoch and admitted in a later one",
		Requests: []Request{{Instance: 0, Key: 1}, {Instance: 1, Key: 1}},
		Faults:   map[Fault]int{Planned: 2},
		AtMost:   2,
	},
	{
		Name:     "voters-pg",
		What:     "the same voter, while Redis is away and votes are decided in Postgres",
		Requests: []Request{{Instance: 0, Voter: true}, {Instance: 1, Voter: true, Retracts: 1}, {Instance: 0, Voter: true}},
		Faults:   map[Fault]int{Away: 1, CommitLost: 1},
		AtMost:   2,
	},
	{
		Name:     "certify",
		What:     "a ballot is closed and certified while batches wait, are recovered, and the epoch changes",
		Requests: []Request{{Instance: 0, Key: 1}, {Instance: 1, Key: 1}},
		Certify:  true,
		Faults:   map[Fault]int{Killed: 1, ProduceLost: 1, Planned: 1},
		AtMost:   2,
	},
	{
		Name:     "certify-pg",
		What:     "a ballot is closed and certified while votes move to Postgres and back",
		Requests: []Request{{Instance: 0, Key: 1}, {Instance: 1, Key: 1}},
		Certify:  true,
		Faults:   map[Fault]int{Away: 1, CommitLost: 1},
		AtMost:   1,
	},
	{
		Name:      "reconcile",
		What:      "the reconciler compares while batches are on their way; the tally drifts, or does not",
		Requests:  []Request{{Instance: 0}, {Instance: 1}},
		Reconcile: true,
		Faults:    map[Fault]int{Drifted: 1, ProduceFails: 1, PgFails: 1, ProduceLost: 1},
		AtMost:    2,
	},
	{
		Name:       "reads",
		What:       "counts are read from Postgres while records wait in two partitions, and Redis is emptied",
		Requests:   []Request{{Instance: 0, Key: 1}, {Instance: 1}},
		Partitions: 2,
		Read:       true,
		Faults:     map[Fault]int{Flushed: 1, ProduceFails: 1, ProduceLost: 1, CommitLost: 1, PersisterStalls: 1},
		AtMost:     2,
	},
	{
		Name:      "new-ballot",
		What:      "a ballot is made in an epoch that ends meanwhile",
		Requests:  []Request{{Instance: 0}, {Instance: 1}},
		NewBallot: true,
		Faults:    map[Fault]int{Planned: 1, Flushed: 1, Killed: 1},
		AtMost:    2,
	},
}
