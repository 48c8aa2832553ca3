// Package load sends requests and measures the answers.
//
// Closed loop: each connection sends its next request when the last is answered. That finds the highest throughput; its
// latencies say nothing about users, who don't wait for each other.
//
// Open loop: request i is due at start + i/rate, whatever the answers do. A free connection takes the next due request;
// if none is free the request goes out late, and its latency still counts from when it was due, so a stall of the
// system shows in every request that fell into it (no coordinated omission). What is due inside the run and could not
// be sent before its end is counted as unsent, never forgotten.
//
// The window of a run begins after the warm-up. Throughput is the successes answered inside it. Latencies are those of
// the successes that began (open loop: were due) inside it, however late the answer. Refusals and failures likewise.
package load
