package protocol

import "slices"

// Rule is a rule of libs/PROTOCOL.md that can be taken away.
type Rule uint8

// The rules by what happens without them. The names are those of libs/faultpoint, as far as they are there.
const (
	answerBeforeSettle Rule = iota
	ackBeforeProduce
	pendingIsSame
	refundClaimed
	refundAfterCommitUnknown
	refundMaybeSent
	applyIgnoresEpoch
	noLeaseCheck
	noBarrier
	noDrain
	noRecordSwitch
	noReplid
	admitForgetsBatch
	resendRefused
	limitsBeforeKey
	settleTwice
	noBusy
	tallyCheck
	certifyIgnoresOutbox
	applyIgnoresCertified
	reconcileLive
	noBatchIDs
	offsetFirst
	noOffsetCheck
	deadLetterOurs
	noCap
	noVoterLimit
	lookUpOfAnyEpoch
	lookUpNever
	certifyUnclosed
	stopSaidFirst
	sameName
	loadUnfinished
	finishUnchecked
	forgetsAtOnce
	barrierByNewNode
	markerUnconfirmed
	reconcileNever
	behindShown
	numRules
)

// About describes a rule that can be taken away.
type About struct {
	Name     string
	Hole     string
	What     string
	Scenario string // where the shortest counterexample is; empty: there is none, see What
}

// Rules is indexed by Rule.
var Rules = [numRules]About{
	answerBeforeSettle:       {"answer-before-settle", "H1", "success is said once a batch is in the log", "redis-loss"},
	ackBeforeProduce:         {"ack-before-produce", "G1", "success is said once a batch is admitted", "stores"},
	pendingIsSame:            {"pending-is-same", "H1", "a retry whose batch is in the outbox is told success at once", "stores"},
	refundClaimed:            {"refund-claimed", "H2", "a batch that another instance has claimed is refunded", "stores"},
	refundAfterCommitUnknown: {"refund-after-commit-unknown", "H3", "a batch whose COMMIT got no answer is refunded", "stores"},
	refundMaybeSent:          {"refund-maybe-sent", "H4", "a batch that may be in the log is refunded", "stores"},
	applyIgnoresEpoch:        {"apply-ignores-epoch", "H5", "a batch of an epoch that is over takes effect", "redis-loss"},
	noLeaseCheck:             {"no-lease-check", "H6", "success is said without a look at the lease", "split-brain"},
	noBarrier:                {"no-barrier", "H6", "the epoch changes while participants may still acknowledge", "split-brain"},
	noDrain:                  {"no-drain", "H7", "the epoch changes before the ledger holds what the log holds", "redis-loss"},
	noRecordSwitch:           {"no-record-switch", "H9", "the load does not hold the row", "pg-mode"},
	noReplid:                 {"no-replid", "H11", "scripts do not compare the replication id", "split-brain"},
	admitForgetsBatch:        {"admit-forgets-batch", "H13", "an admission that comes again is decided again", "replies"},
	resendRefused:            {"resend-refused", "H27", "an admission without an answer is told as a refusal", "replies"},
	limitsBeforeKey:          {"limits-before-key", "H14", "time and limits are looked at before the key", "replies"},
	settleTwice:              {"settle-twice", "G2", "a settlement adds its counts whether or not the batch is in the outbox", "replies"},
	noBusy:                   {"no-busy", "H16", "a retraction depends on a vote that is not settled", "voters"},
	tallyCheck:               {"tally-check", "H17", "the persister refuses a tally below zero", "voters"},
	certifyIgnoresOutbox:     {"certify-ignores-outbox", "H19", "a ballot is certified while batches stand in its outbox", "certify"},
	applyIgnoresCertified:    {"apply-ignores-certified", "H19", "a batch of a certified ballot takes effect: a second lock, which matters only without the first (certify-ignores-outbox)", ""},
	reconcileLive:            {"reconcile-live", "H22", "the reconciler compares live counts, with batches in flight", "reconcile"},
	noBatchIDs:               {"no-batch-ids", "G2", "a batch takes effect as often as it comes", "stores"},
	offsetFirst:              {"offset-first", "G1", "an offset is committed before the records' effect", "persister"},
	noOffsetCheck:            {"no-offset-check", "H24", "an offset moves whoever owned it", "persister"},
	deadLetterOurs:           {"dead-letter-ours", "H25", "a record of ours that cannot be applied goes to the dead letters", "persister"},
	noCap:                    {"no-cap", "G4", "a ticket has no last use", "cap"},
	noVoterLimit:             {"no-voter-limit", "G7", "a voter may vote any number of times", "voters"},
	lookUpOfAnyEpoch:         {"look-up-of-any-epoch", "H28", "what was looked up in one epoch holds in the next", "look-up"},
	lookUpNever:              {"look-up-never", "G2", "a key from before the load is taken for new", "redis-loss"},
	certifyUnclosed:          {"certify-unclosed", "G1", "a ballot is certified while its marker is open", "certify"},
	stopSaidFirst:            {"stop-said-first", "H6", "a participant says that it stopped before it stops", "split-brain"},
	sameName:                 {"same-name", "H10", "a load writes under the name that is there", "slow-loader"},
	loadUnfinished:           {"load-unfinished", "H10", "a load does not mark its keys as unfinished, nor look at the end whether they are still there", "load-failover"},
	finishUnchecked:          {"finish-unchecked", "H11", "the end of a load does not compare the replication id: a second lock, since every script compares it", ""},
	forgetsAtOnce:            {"forgets-at-once", "G8", "a loader whose switch got no answer deletes what it has loaded", "load"},
	barrierByNewNode:         {"barrier-by-new-node", "H12", "the barrier is passed because another node says that it is not the ledger", "split-brain"},
	markerUnconfirmed:        {"marker-unconfirmed", "H29", "whoever makes a ballot does not look, between making its marker and finishing it, whether the epoch is still on", "new-ballot"},
	reconcileNever:           {"reconcile-never", "G11", "nobody compares", "reconcile"},
	behindShown:              {"behind-shown", "H37", "counts are read from Postgres however far it is behind", "reads"},
}

// ByName finds a rule.
func ByName(name string) (Rule, bool) {
	i := slices.IndexFunc(Rules[:], func(a About) bool { return a.Name == name })
	return Rule(max(i, 0)), i >= 0
}
