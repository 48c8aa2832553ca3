// Package sim runs the vote path in one process on a clock of its own: the real engine and the real changes of epoch, several
// instances of both, over models of Redis, Postgres and Kafka in which whatever can go wrong goes wrong at random.
//
//	go test ./services/vote-service/internal/sim                                  a thousand schedules
//	LITTLEVOTE_SIM=50000 go test -timeout 2h ./services/vote-service/internal/sim
//	LITTLEVOTE_SIM_SEED=123 go test -v -run Sim ./services/vote-service/internal/sim   one, with every call
//
// A schedule follows from its seed: who votes when, and what fails. Each call of a store has a dice of its own, made of the
// seed, the call's name and how often that was called, so goroutines that run at the same instant don't disturb each
// other's, and the latencies, in nanoseconds, put everything else in order.
//
// Redis is ledgermodel, which the scripts are held to; Postgres is tables, which pgledger is held to here. The persister is a
// loop over the same transaction with the same offsets, owners that change and owners that don't know it: the real one needs
// a Kafka client.
package sim
