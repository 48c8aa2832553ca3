// Package overload refuses what can't be served in time, while the rest is served at full speed.
//
// There are two places. A Gate stands before each queue and knows how fast that drains: what would wait too long is
// refused at once, with a time to come back. A refusal there costs the reading and the execution of a request. So once
// refusals outnumber what is served, the Door turns requests away before they are read, by chance, so that those which
// come through are about twice as many as can be served.
//
// A closed loop is no overload: a thousand clients that each wait for their answer are a thousand requests in the queue,
// always, and get their answers in turn. A Gate therefore looks at the wait, not at the length, lets pass whatever
// finds fewer than two batches before it, and gives every burst a moment to show how fast it drains. That is also why no
// limiter by latency is used: with batches, latency grows with concurrency long before anything is wrong.
package overload
