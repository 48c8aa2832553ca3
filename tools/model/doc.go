// Command model explores the protocol of a vote (libs/PROTOCOL.md), state by state, and looks for one that breaks a promise.
//
//	go run ./tools/model                                        all scenarios, up to a bound each
//	go run ./tools/model -scenario split-brain -max-states 50000000
//	go run ./tools/model -scenario stores -without pending-is-same
//	go run ./tools/model -list
//
// The model is in internal/protocol: the state as one small value, the rules as functions that make the next states of it,
// each step with the rule that it follows. internal/window is a second, smaller one of the times for which keys are
// remembered, with a clock. internal/explore walks through either.
//
// A scenario is a bounded configuration: some requests, and how often what may go wrong. Within it every order of steps is
// tried: a step is one script, one transaction, one record, one look at a clock. What is checked in each state, and in each
// state in which nothing more happens by itself, is in check.go.
//
// A rule can be taken away. Then a promise must break, or the rule is not needed or the model does not see what it is
// for; the tests hold that for every rule in the list.
//
// What the model leaves out: more than one vote in a batch, more than two instances, nodes or partitions; several ballots;
// the lease's arithmetic (its end is a step); names of open lists; a Postgres or a Kafka that loses what it confirmed.
// What looks the same is not merged, with two exceptions: the log keeps only what is not applied yet, and seen keys and
// used tickets are what follows from the batches that were admitted.
package main
