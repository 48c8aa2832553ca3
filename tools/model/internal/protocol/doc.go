// Package protocol is the protocol of a vote as a model: libs/PROTOCOL.md, as steps from state to state.
//
//	state.go     what there is: the row, Redis nodes, instances, requests, Postgres, the log
//	scenario.go  what is asked for and what may go wrong
//	redis.go     the scripts            postgres.go  the transactions
//	owner.go     a request's way        drive.go     recovery, and retries that wait
//	log.go       Kafka and persister    epochs.go    participants, and changing the epoch
//	load.go      loading Redis          judge.go     certify, reconcile
//	read.go      reads from Postgres    check.go     the promises
//	rules.go     what can be taken away
//
// A vote counts in a ledger by its batch, so counts are sets of batches here: a batch that is added to a set for a second
// time is a broken promise.
package protocol
