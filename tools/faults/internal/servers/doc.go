// Package servers runs the stores that faults happen to: Apache Kafka and Postgres, kept from one run to the next and shared,
// each run with names of its own in them; a Redis for every run, which takes no time to start; and toxiproxy before each of
// them. Everything listens on loopback only.
package servers
