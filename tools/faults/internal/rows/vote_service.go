package rows

import (
	"time"

	"github.com/littlevote/littlevote/tools/internal/deps"
	"github.com/littlevote/littlevote/tools/internal/system"
)

// down is how long a process that was killed stays away.
func (r *Run) down() time.Duration { return r.Between(300*time.Millisecond, 2*time.Second) }

func voteServiceRows() []Row {
	return []Row{
		{
			Name: "F1", Kind: Kill, Title: "kill -9 of a vote-service", Silence: degraded,
			Sees:   "connections that break: unknown, and the same key ends it",
			Happen: func(r *Run) { r.kill(r.One(system.Vote)) },
		},
		{
			Name: "F14", Kind: Cut, Title: "Kafka takes records, and its answers are lost; then kill -9 of the producer", Proxied: true,
			Sees:   "unknown at worst; a retry under the same key succeeds",
			Happen: lostReplies,
		},
		{
			Name: "F19", Kind: Clock, Title: "clocks: a vote-service 5 minutes ahead, a ticket-service 3 s behind, 200 ms more at each start",
			Sees: "nothing: the clock of Redis decides", Silence: degraded,
			Prepare: func(r *Run) {
				r.SetEnv("vote-service-0", "LITTLEVOTE_CLOCK_OFFSET=5m")
				r.SetEnv("ticket-service-0", "LITTLEVOTE_CLOCK_OFFSET=-3s")
				r.SetEnv("gateway-1", "LITTLEVOTE_CLOCK_OFFSET=-1m")
			},
			Happen: func(r *Run) { r.Hold(r.Between(4*time.Second, 8*time.Second)) },
		},
		{
			Name: "K1", Kind: Kill, Title: "kill -9 of a ticket-service", Silence: degraded,
			Sees:   "nothing: the other one mints",
			Happen: func(r *Run) { r.kill(r.One(system.Ticket)) },
		},
		{
			Name: "K2", Kind: Kill, Title: "kill -9 of a query-service", Silence: degraded,
			Sees:   "single reads that fail",
			Happen: func(r *Run) { r.kill(r.One(system.Query)) },
		},
		{
			Name: "F23", Kind: Kill, Title: "a subscriber is frozen for 6 to 12 s; then kill -9 of a gateway", Silence: degraded,
			Sees:   "connections that break: unknown, and the same key at the other gateway ends it; subscribers go on there with newer counts",
			Happen: frozenSubscriber, Judge: subscribersKnow,
		},
		{
			Name: "P1", Kind: Stop, Title: "a vote-service is frozen for longer than its lease, and goes on", Silence: 2*degraded + participantLease,
			Sees: "unknown, where the frozen one had the vote",
			Happen: func(r *Run) {
				r.freeze(r.One(system.Vote), participantLease+r.Between(time.Second, 3*time.Second))
			},
		},
	}
}

// participantLease is that of package system.
const participantLease = 5 * time.Second

func (r *Run) kill(victim *system.Service) {
	victim.Kill()
	r.Hold(r.down())
	r.Restart(victim)
}

// lostReplies lets Kafka's answers be lost for a while, then kills a producer that waits for them.
func lostReplies(r *Run) {
	if r.Random.IntN(2) == 0 {
		r.ToKafka.Reset(r)
	} else {
		r.ToKafka.Mute(r)
	}
	r.Hold(r.Between(time.Second, 4*time.Second))
	victim := r.One(system.Vote)
	victim.Kill()
	r.Hold(r.Between(0, 2*time.Second))
	r.ToKafka.Heal(r)
	r.Healed()
	r.Restart(victim)
}

func (r *Run) killServer(name string, away time.Duration) {
	r.Shared.Kill(r, name)
	r.Hold(away)
	r.Shared.Ensure(r, name)
}

func (r *Run) freezeServer(name string, away time.Duration) {
	r.Shared.Freeze(r, name)
	r.Hold(away)
	r.Shared.Thaw(r, name)
}

func kafkaRows() []Row {
	return []Row{
		{
			Name: "F11", Kind: Kill, Title: "kill -9 of Kafka, back after 10 to 20 s", Silence: degraded,
			Sees:   "success, by way of Postgres",
			Happen: func(r *Run) { r.killServer(deps.Kafka, r.Between(10*time.Second, 20*time.Second)) },
		},
		{
			Name: "F12", Kind: Stop, Title: "Kafka is frozen for 10 to 30 s", Silence: degraded,
			Sees:   "success, by way of Postgres; no answer later than its deadline",
			Happen: func(r *Run) { r.freezeServer(deps.Kafka, r.Between(10*time.Second, 30*time.Second)) },
		},
		{
			Name: "C1", Kind: Cut, Title: "Kafka is cut off for 3 to 10 s", Proxied: true, Silence: degraded,
			Sees: "success, by way of Postgres",
			Happen: func(r *Run) {
				if r.Random.IntN(2) == 0 {
					r.ToKafka.Cut()
				} else {
					r.ToKafka.Hang(r)
				}
				r.Hold(r.Between(3*time.Second, 10*time.Second))
				r.ToKafka.Heal(r)
			},
		},
		{
			Name: "F15", Kind: Poison, Title: "poison in every partition: garbage, an unknown version, a tombstone, 900 KB", Silence: degraded,
			Sees: "nothing", Happen: poison, Judge: deadLetters,
		},
		{
			Name: "F24", Kind: Kill, Title: "the records are gone before the persister has read them", Mortal: true,
			Sees: "nothing; an alarm, and the persister halts: it never goes on behind the hole", Happen: retentionPassed, Judge: halted,
		},
	}
}
