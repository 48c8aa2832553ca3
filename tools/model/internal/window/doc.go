// Package window is the life of one idempotency key in time: for how long Redis remembers it, when it looks young, how far
// Postgres may be behind when it is asked. Two requests carry the key; everything else is left to package protocol.
//
// The clock is one for all, in minutes. A step takes no time, and any number of them may happen between two ticks, or
// any number of ticks between two steps, with one exception: whoever brings a batch from admission, or from a claim, into the
// log takes less than two minutes, or leaves it to somebody who claims it. A process that sleeps for longer right in between
// is outside of what the protocol covers.
package window
