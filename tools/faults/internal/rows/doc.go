// Package rows holds the faults, each a short story: what it needs, what happens, what the voters may see of it.
//
// A run starts a system of real processes, lets a crowd vote, lets the fault happen at a moment that the seed decides, heals
// it, waits until votes flow again and everything has converged, and then judges from outside: by what the voters wrote
// down, and by what Postgres, Redis and Kafka have.
package rows
