package protocol

import "math/bits"

// Bounds of the model. All is in bytes, so that a state is a small value without gaps.
const (
	maxBatches    = 5
	maxInstances  = 2
	maxNodes      = 2
	maxNames      = 5 // names that loads give to their keys
	maxPartitions = 2
	maxQueue      = 5
	maxEpoch      = 5
)

// set is a set of batches.
type set uint8

func one(b int) set             { return 1 << b }
func (s set) has(b int) bool    { return s&one(b) != 0 }
func (s set) within(t set) bool { return s&^t == 0 }
func (s set) len() int          { return bits.OnesCount8(uint8(s)) }

// mode says which store decides the votes of an epoch.
type mode uint8

const (
	redis mode = iota + 1
	postgres
)

// ledger is what an open epoch's votes are decided in; the zero value stands for none.
type ledger struct {
	epoch uint8
	mode  mode
	name  uint8 // of its keys in Redis
}

// row is ledger_epoch.
type row struct {
	ledger
	open bool  // else it is ending
	lock uint8 // 1 + the instance whose transaction holds the row; 0: nobody's
}

// keys is what a Redis node has under one name. Seen keys and uses are not written down twice: a key is seen, and a use
// is taken, if its batch is in outbox or settled.
type keys struct {
	marker, loading, sealed, closed bool
	epoch, replid                   uint8
	outbox, claimed                 set
	settled, refunded               set // what done says
	tally                           set // the batches that are counted
	base                            set // of these, what was loaded
	ticket                          uint8
	voterKnown                      bool
	voterVotes                      set   // the votes of the voter that count
	voterLast                       uint8 // 1 + the last batch that changed them
	drifted                         bool  // for the judge: something broke the tally
}

// node is one Redis server.
type node struct {
	up     bool
	master bool
	replid uint8
	names  [maxNames + 1]keys
}

// instance is a vote-service, and its row in participants.
type instance struct {
	up       bool
	believes ledger
	conn     uint8 // the node that it talks to
	cut      bool  // from Redis
	joined   uint8 // epoch in participants
	stopped  bool
	expired  bool // the lease in participants is over
}

// pc says where a request stands, or somebody who drives its batch.
type pc uint8

const (
	fresh     pc = iota
	looking      // up a key or a voter in Postgres
	asking       // what became of an admission without an answer
	admitted     // to be produced
	falling      // back to Postgres
	refunding    //
	durable      // to be settled
	settled      // to be answered after the lease check
	awaiting     // the end of its epoch
	waiting      // for another batch
	casting      // in Postgres
	answered
)

// outcome is what the client was told.
type outcome uint8

const (
	ok      outcome = iota + 1
	refused         // it can't be decided now; nothing happened
	denied          // time, limits or the body speak against it; nothing happened
	unknown
)

// batch is one request, the batch that it becomes (one vote each), and whoever drives that.
type batch struct {
	pc        pc
	at        uint8 // 1 + the instance that has the request
	outcome   outcome
	ledger    ledger // that it was admitted in, or is to be
	ticket    uint8
	maybeSent bool
	lookedUp  uint8 // in which epoch
	looked    set   // the voter's votes that were found
	on        uint8 // 1 + the batch that it waits for

	driver   uint8 // 1 + instance
	driverPC pc
	driveIn  ledger
}

// changer is what an instance remembers of a change that it works on.
type changer struct {
	phase    phase
	from     ledger // of the row when it began
	name     uint8  // that it loads under
	snapshot set
	closed   bool
	behind   [maxPartitions]uint8 // records to be applied yet
}

type phase uint8

const (
	idle phase = iota
	draining
	loading  // the marker is made
	filled   // the counts are written
	finished // loading is over, the row is not yet changed
	forgetting
)

// certifier is what the one who certifies remembers.
type certifier struct {
	running bool
	in      ledger
	behind  [maxPartitions]uint8
}

// cut is what the reconciler remembers.
type cut struct {
	running                 bool
	in                      ledger
	tally, outbox, admitted set
	behind                  [maxPartitions]uint8
}

// read is what whoever reads counts from Postgres remembers of the moment at which the read came.
type read struct {
	running bool
	acked   set
	behind  [maxPartitions]uint8
}

// zombie is a persister that polled a record and then lost the partition.
type zombie struct {
	record uint8 // 1 + batch
	part   uint8
	moved  uint8 // how far the offset has moved since
}

// State is all of it.
type State struct {
	row       row
	nodes     [maxNodes]node
	instances [maxInstances]instance
	batches   [maxBatches]batch
	changers  [maxInstances]changer
	certifier certifier
	cut       cut
	read      read

	// Postgres.
	applied           set // applied_batches
	counted           set // vote_logs and what follows from it
	closed, certified bool
	result            set
	maker             uint8 // 1 + instance that wrote ballot_ns and has yet to make the marker
	makes             ledger
	confirmed         bool // it has seen since that the row stands

	// Kafka: what is not applied yet, by partition, as 1 + batch.
	queue    [maxPartitions][maxQueue]uint8
	halted   [maxPartitions]bool
	zombie   zombie
	hanging  uint8 // 1 + batch whose offset was committed first (a known-wrong variant)
	produces set   // produce calls without an answer that may still arrive
	admits   set   // the same of admissions
	commits  set   // and of transactions

	lastName uint8
	lastRepl uint8
	left     [numFaults]uint8
	faults   uint8 // how many more in all
	acked    set
	broken   breach
}

// behind returns how many records each partition has yet to be applied.
func (s *State) behind() (n [maxPartitions]uint8) {
	for p := range s.queue {
		for _, r := range s.queue[p] {
			if r != 0 {
				n[p]++
			}
		}
	}
	return n
}

func (s *State) queued() (all set) {
	for p := range s.queue {
		for _, r := range s.queue[p] {
			if r != 0 {
				all |= one(int(r - 1))
			}
		}
	}
	return all
}

// hangs is the batch whose offset was committed before its effect.
func (s *State) hangs() set {
	if s.hanging == 0 {
		return 0
	}
	return one(int(s.hanging) - 1)
}

// push appends to the log; false if the bound of the model is reached.
func (s *State) push(p, b int) bool {
	for i, r := range s.queue[p] {
		if r == 0 {
			s.queue[p][i] = uint8(b + 1)
			return true
		}
	}
	return false
}

// pop moves the offset of a partition.
func (s *State) pop(p int) {
	copy(s.queue[p][:], s.queue[p][1:])
	s.queue[p][maxQueue-1] = 0
	passed := func(behind *[maxPartitions]uint8) {
		if behind[p] > 0 {
			behind[p]--
		}
	}
	for i := range s.changers {
		passed(&s.changers[i].behind)
	}
	passed(&s.certifier.behind)
	passed(&s.cut.behind)
	passed(&s.read.behind)
	if s.zombie.record != 0 && int(s.zombie.part) == p {
		s.zombie.moved++
	}
}
