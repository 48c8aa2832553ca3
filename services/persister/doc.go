// Package persister is the persister: it moves the votes from Kafka into the ledger in Postgres. Package persist in it says
// how, and what happens when something is away.
//
// Any number of replicas may run; they share the partitions of the topic. It has no RPCs of its own: its port answers
// gRPC health, reflection and the probes.
//
// A start listens at once, then waits for Postgres and Kafka as long as it takes: it is not ready until it is in its
// consumer group, and it says why. A stop finishes the transaction in hand, leaves the group, and takes 10 s at most.
package persister
