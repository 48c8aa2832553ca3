// Package queryservice is the service that reads counts.
//
// A read goes to the live tally in Redis, together with every other read of that ballot that came while the last fetch
// was on its way: it joins only a fetch that has not been sent, so it sees everything acknowledged before it. The
// service takes part in the epochs (libs/epoch): it reads Redis only under its lease. While Redis is away, or no epoch
// is open, counts come from the Postgres replica, then the primary, and say that they may be stale.
package queryservice
