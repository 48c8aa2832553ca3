// Package ballots makes, changes, closes and certifies ballots: littlevote.ballot.v1.BallotService.
//
// Postgres holds the ballots. In an epoch in Redis each has a marker there, by which votes are admitted, so a change that
// votes must obey at once has two steps: the row, committed, and then the marker, under the fence of the epoch in which the row
// was changed. If that epoch is over by then, the next one was loaded from the row as it is now. What instances check by
// themselves, candidates and patterns, changes only while the ballot is a draft and admits nothing; later, names are only added.
//
//	draft ──UpdateBallot──> open <──UpdateBallot──> paused
//	draft, open, paused ──CloseBallot──> closed ──CertifyBallot──> certified
//	open, with a closing time that has passed ──CertifyBallot, ProposeVoid──> closed
//
// A certified result never changes (G6) and holds every acknowledged vote (G1). So, in one epoch and in this order (H19): the
// marker is closed; the outbox is empty, and stays so; the ends of the log are read; the persister has passed them; the
// transaction that certifies finds the same epoch open. Whatever is not so yet is waited for until the call's deadline. A void
// takes effect under the same conditions, and then in Redis; should that never happen, the reconciler sees to it.
//
// Every operation may be repeated, has its effect once, and leaves one entry in the audit, in the transaction of the effect.
package ballots
