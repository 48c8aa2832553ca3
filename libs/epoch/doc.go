// Package epoch knows which epoch of the ledger is on, and changes it.
//
// One row in Postgres, ledger_epoch, names the epoch, where its ledger stands in Redis and whether it is open. Inside
// an open epoch nobody asks Postgres: each process that uses the Redis ledger is a Participant, holds a lease by its
// heartbeat, and may believe the row for as long as the lease runs. The heartbeat reads the row under a share lock and
// writes the lease in one statement, so no process can begin in an epoch that somebody has begun to end.
//
//	open ──(state lost, or none was ever open)──> ending ──(barrier, log applied, loaded)──> open, epoch + 1
//
// What is promised:
//   - A participant acknowledges from Redis only while Participant.Live says so.
//   - The state of a new epoch is loaded only after every participant of the old one stopped, was sealed off, or lost
//     its lease, and after the ledger holds every record that was in the log then.
//   - Every step may be done twice, by anybody; the row's value decides who was first.
package epoch
