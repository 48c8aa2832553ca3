package faultpoint

// Variant is a known-wrong variant of the system: one rule left out.
type Variant struct {
	Name string
	Hole string // of PROTOCOL.md, or the promise it breaks
	What string // what is left out
}

// Mutants are all variants. Each is one call of Mutant in the code, at the rule.
var Mutants = []Variant{
	{"answer-before-settle", "H1", "an owner answers success once its batch is in the log, before it is settled"},
	{"ack-before-produce", "G1", "an owner answers success once its batch is admitted"},
	{"pending-is-same", "H1", "a retry whose batch is still in the outbox is told success at once"},
	{"refund-claimed", "H2", "a batch that another instance has claimed is refunded"},
	{"refund-after-commit-unknown", "H3", "a batch whose COMMIT got no answer is refunded"},
	{"refund-maybe-sent", "H4", "a batch that may be in the log is refunded"},
	{"apply-ignores-epoch", "H5", "a batch of an epoch that is over takes effect"},
	{"no-lease-check", "H6", "success is said without a look at the lease"},
	{"no-barrier", "H6", "the epoch changes while participants may still acknowledge"},
	{"no-drain", "H7", "the epoch changes before the ledger holds what the log holds"},
	{"no-record-switch", "H9", "the load does not hold the row, so a transaction may commit behind it"},
	{"no-replid", "H11", "scripts do not compare the replication id"},
	{"admit-forgets-batch", "H13", "an admission that comes again is decided again"},
	{"resend-refused", "H27", "an admission without an answer is told as a refusal"},
	{"limits-before-key", "H14", "time and limits are looked at before the key"},
	{"settle-twice", "G2", "a settlement adds its counts whether or not the batch is in the outbox"},
	{"no-busy", "H16", "a retraction depends on a vote that is not settled"},
	{"own-batch-decides", "H33", "a vote is refused because of another one of its own batch, which may be lost"},
	{"evicting-redis", "H34", "a Redis that evicts keys is a ledger"},
	{"parts-may-go", "H35", "a key that is gone is taken for one that never was"},
	{"stall-ignored", "H36", "a lag is counted from when its answer is read"},
	{"behind-shown", "H37", "counts are read from Postgres however far it is behind"},
	{"drops-forgotten", "H38", "a batch that had no effect takes effect when the log is applied to a restored backup"},
	{"directory-trusted", "H39", "a ballot is not there if the list of ballots, read a moment ago, lacks it"},
	{"tally-check", "H17", "the persister refuses a tally below zero"},
	{"certify-ignores-outbox", "H19", "a ballot is certified while batches stand in its outbox"},
	{"apply-ignores-certified", "H19", "a batch of a certified ballot takes effect"},
	{"no-future-bound", "H20", "a key from far ahead counts as young"},
	{"look-up-ignores-lag", "H21", "a key that Postgres does not know is new, however far behind Postgres is"},
	{"reconcile-live", "H22", "the reconciler compares live counts, with batches in flight"},
	{"no-batch-ids", "G2", "a batch takes effect as often as it comes"},
	{"offset-first", "G1", "an offset is committed before the records' effect"},
	{"no-offset-check", "H24", "an offset moves whoever owned it"},
	{"dead-letter-ours", "H25", "a record of ours that cannot be applied goes to the dead letters"},
	{"no-cap", "G4", "a ticket has no last use"},
	{"no-voter-limit", "G7", "a voter may vote any number of times"},
	{"state-without-candidate", "G7", "votes for different candidates are one state of a voter, where the limit is for each"},
	{"state-without-period", "G7", "votes of different periods are one state of a voter"},
	{"change-keeps-old", "G7", "a vote that takes the place of another leaves it where it is"},
	{"evict-young", "H31", "a voter's state is evicted while a look-up of before may be under way"},
	{"eviction-unmarked", "H32", "a state that was evicted looks as if it never was"},
	{"void-twice", "G2", "a void takes a vote out that another one, or its voter, took back already"},
	{"hidden-shown", "visibility", "counts are shown whatever the ballot's visibility"},
	{"tenant-ignored", "tenants", "a ballot's name says nothing of its tenant"},
}
