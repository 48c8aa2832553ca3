// Package offsets is `littlevote offsets`: how far the log is applied, and a person's word where it can't go on.
//
// A partition halts where records are gone from Kafka that nobody has read: they were kept too short, Kafka lost them, or
// somebody deleted the topic and made it anew. Nothing resets an offset by itself, since that would hide the loss. Accept
// moves the offset to the first record that Kafka has; what is read twice by that counts once, by its batch id.
package offsets
