// Package dlq is `littlevote dlq`: what a person does with the records that no persister could read.
//
// The letters stand in the dead-letter topic, which nothing is ever removed from but by its retention. What was done
// with each is in the table dead_letters, by the topic's id, partition and offset: that is a letter's address.
//
// A replay produces first and notes it then, so a letter is never lost in between. If the command dies there, the same
// letter may be sent twice: the batch id inside makes it count once.
package dlq
