package protocol

import (
	"fmt"
	"strings"

	"github.com/littlevote/littlevote/tools/model/internal/explore"
)

// act names what happens in a step.
type act uint8

// Step is one step of a trace.
type Step struct {
	act     act
	b, i, x int8 // batch, instance, and what else the sentence has a place for
}

// step makes a Step: b is a batch, i an instance, x whatever the act's text says.
func step(a act, b, i, x int) Step { return Step{a, int8(b), int8(i), int8(x)} }

const (
	actNone act = iota
	actNoLedger
	actWrongEpoch
	actAway
	actAdmitted
	actAdmitLost
	actAdmitLate
	actAdmitArrives
	actKnown
	actLookUp
	actLookedUp
	actFoundInPg
	actDenied
	actWait
	actFindOut
	actNotKnown
	actProduced
	actProduceFails
	actProduceLost
	actProduceArrives
	actApplied
	actApplyOver
	actApplyFails
	actCommitLost
	actCommitArrives
	actRefunded
	actNotRefunded
	actReplyLost
	actSettled
	actNotInOutbox
	actSuccess
	actNotLive
	actOverCounted
	actOverNot
	actGivesUp
	actClaims
	actDriveProduced
	actDriveFails
	actDriveLost
	actDriveApplied
	actDriveGivesUp
	actDriveSettled
	actSame
	actCast
	actCastWaits
	actCastDenied
	actPersisted
	actPersisterStalls
	actZombieApplies
	actZombieRefused
	actOffsetFirst
	actHangingApplied
	actPersisterDies
	actTripped
	actRepaired
	actKilled
	actLeaseRunsOut
	actLeaseOver
	actHears
	actSaysStopped
	actJoins
	actReconnects
	actFlushed
	actAwayNow
	actBack
	actCutOff
	actCutHealed
	actCopied
	actPromoted
	actTicketEnds
	actDrifted
	actEnds
	actBarrier
	actSealed
	actOpensPg
	actLoadBegins
	actLoadFills
	actLoadFinishes
	actLoadFails
	actOpensRedis
	actSwitchTooLate
	actSwitchLost
	actLoaderStalls
	actForgetsKeys
	actForgetsMarker
	actCloses
	actClosesMarker
	actCertifyBegins
	actCertified
	actCertifyAgain
	actCutTaken
	actCutEqual
	actCutDrift
	actReadBegins
	actReadAnswered
	actReadRefused
	actRowMade
	actMarkerMade
	actRowStands
	actMarkerFinished
	actMarkerRefused
	numActs
)

// texts say what an act is, with {b} for the batch, {i} for the instance, {x} for the rest; behind the bar stands the
// rule of libs/PROTOCOL.md that allows it.
var texts = [numActs]string{
	actNoLedger:        "{i} knows of no open ledger and refuses {b} | lease check",
	actWrongEpoch:      "{i} asks to admit {b}: WRONG_EPOCH, refused | the fence",
	actAway:            "{i} does not reach Redis and refuses {b} | no effect, certainly",
	actAdmitted:        "{i} admits {b} in Redis | admit",
	actAdmitLost:       "{i} admits {b} in Redis, the reply is lost | admit",
	actAdmitLate:       "{i}'s admission of {b} is on its way, and nobody waits for its reply any more | admit",
	actAdmitArrives:    "the admission of {b} arrives in Redis | admit",
	actKnown:           "{i} asks what became of the admission of {b}: known | rule 5",
	actLookUp:          "{i} is told to look up what {b} needs first | keys, voters",
	actLookedUp:        "{i} looks {b} up in Postgres: nothing | keys, voters",
	actFoundInPg:       "{i} looks up the key of {b} in Postgres: it is batch {x} | keys",
	actDenied:          "{i} is told that time, limits or voter forbid {b}, and refuses it | admit, order of checks",
	actWait:            "{i} is told that {b} depends on batch {x} | rule 7",
	actFindOut:         "{i} has no news of the admission of {b}: unknown | rule 5",
	actNotKnown:        "{i} has no news of batch {x} and answers {b} with unknown | rule 7",
	actProduced:        "{i} produces {b}: in the log | rule 1",
	actProduceFails:    "{i} can't produce {b}: certainly not sent | rule 2",
	actProduceLost:     "{i} produces {b}, and gets no answer | rule 2, maybe sent for life",
	actProduceArrives:  "the record of {b} arrives in the log | late",
	actApplied:         "{i} applies {b} in Postgres | rule 3",
	actApplyOver:       "{i} applies {b} in Postgres: its time is over, refused | rule 3",
	actApplyFails:      "{i} can't apply {b} in Postgres: certainly no effect | rule 5",
	actCommitLost:      "{i} applies {b} in Postgres, COMMIT gets no answer | rule 5",
	actCommitArrives:   "the transaction of {b} goes through | late",
	actRefunded:        "{i} refunds {b}, refused | refund",
	actNotRefunded:     "{i} may not refund {b}: unknown | refund",
	actReplyLost:       "a reply about {b} to {i} is lost | rule 5",
	actSettled:         "{i} settles {b} | settle",
	actNotInOutbox:     "{i} settles {b}: neither in the outbox nor settled, unknown | rule 4",
	actSuccess:         "{i} looks at its lease and answers {b} with SUCCESS | rule 1",
	actNotLive:         "{i} may not answer {b} from this ledger any more | lease check",
	actOverCounted:     "{i} sees that the epoch of {b} is over and Postgres has it: SUCCESS | rule 4",
	actOverNot:         "{i} sees that the epoch of {b} is over and Postgres lacks it: refused | rule 5",
	actGivesUp:         "{i} waits no longer and answers {b} with unknown | rule 5",
	actClaims:          "{i} claims {b} | rule 6",
	actDriveProduced:   "{i}, who drives {b}, produces it | rule 6",
	actDriveFails:      "{i}, who drives {b}, can't produce it | rule 6",
	actDriveLost:       "{i}, who drives {b}, produces it and gets no answer | rule 6",
	actDriveApplied:    "{i}, who drives {b}, applies it in Postgres | rule 6",
	actDriveGivesUp:    "{i} stops driving {b} | rule 6",
	actDriveSettled:    "{i}, who drives {b}, settles it | rule 6",
	actSame:            "{i} sees batch {x} settled, looks at its lease and answers {b} with SUCCESS | rule 7",
	actCast:            "{i} casts {b} in Postgres: SUCCESS | pg mode",
	actCastWaits:       "{i} casts {b} in Postgres and waits for the row | pg mode",
	actCastDenied:      "{i} casts {b} in Postgres: refused | pg mode",
	actPersisted:       "the persister applies {b} and moves the offset of partition {x} | rule 3",
	actPersisterStalls: "a persister stalls with {b} of partition {x} in hand, which goes to another one | persister",
	actZombieApplies:   "the persister that had stalled commits {b} | compare-and-set",
	actZombieRefused:   "the persister that had stalled finds that the offset has moved, and rolls back | compare-and-set",
	actOffsetFirst:     "the persister moves the offset of partition {x} past {b} | known-wrong",
	actHangingApplied:  "the persister applies {b} | known-wrong",
	actPersisterDies:   "the persister dies | persister",
	actTripped:         "the persister can't apply {b}: partition {x} halts | ours are never dead letters",
	actRepaired:        "what hindered partition {x} is repaired | persister",
	actKilled:          "{i} is killed | leases",
	actLeaseRunsOut:    "the lease of {i}, which is dead, runs out | leases",
	actLeaseOver:       "the lease of {i}, which is slow, runs out | leases",
	actHears:           "{i} reads that its epoch is over and stops believing | participants",
	actSaysStopped:     "{i} writes that it has stopped | participants",
	actJoins:           "{i} joins epoch {x} | heartbeat",
	actReconnects:      "{i} talks to node {x} from now on | failover",
	actFlushed:         "node {x} is emptied | fault",
	actAwayNow:         "node {x} does not answer | fault",
	actBack:            "node {x} is back as it was | fault",
	actCutOff:          "{i} is cut off from Redis | fault",
	actCutHealed:       "{i} reaches Redis again | fault",
	actCopied:          "the replica has caught up | replication",
	actPromoted:        "the replica, node {x}, is promoted; the old primary lives on | failover",
	actTicketEnds:      "ticket {x} is the newest from now on | tickets",
	actDrifted:         "the tally in Redis loses {b} | fault",
	actEnds:            "{i} marks epoch {x} as ending | changing the epoch, 1",
	actBarrier:         "{i} is past the barrier of epoch {x} and reads the end offsets | changing the epoch, 2 and 3",
	actSealed:          "{i} seals the keys of epoch {x} and reads the end offsets | changing the epoch, 2 and 3",
	actOpensPg:         "{i} opens epoch {x} in Postgres | changing the epoch, 5",
	actLoadBegins:      "{i} takes the row and begins to load under name {x} | changing the epoch, 6",
	actLoadFills:       "{i} writes the counts under name {x} | changing the epoch, 6",
	actLoadFinishes:    "{i} looks whether name {x} is still there, and ends its loading | changing the epoch, 6",
	actLoadFails:       "{i} finds that the load under name {x} is lost | changing the epoch, 6",
	actOpensRedis:      "{i} opens epoch {x} in Redis | changing the epoch, 6",
	actSwitchTooLate:   "{i} can't commit the switch to name {x} | changing the epoch, 6",
	actSwitchLost:      "{i} opens epoch {x} in Redis, and gets no answer | changing the epoch, 6",
	actLoaderStalls:    "Postgres ends the transaction of {i}, which loads and does not know | fault",
	actForgetsKeys:     "{i} deletes the keys of name {x}, the marker not yet | after the switch",
	actForgetsMarker:   "{i} deletes the marker of name {x} | after the switch",
	actCloses:          "the ballot is closed in Postgres | certify",
	actClosesMarker:    "{i} closes the ballot's marker | certify",
	actCertifyBegins:   "{i} sees the ballot closed and its outbox empty, and reads the end offsets | certify, 1 and 2",
	actCertified:       "the ballot is certified | certify, 4",
	actCertifyAgain:    "the epoch has changed: certify begins again | certify, 4",
	actCutTaken:        "{i} takes a cut of tally and outbox, and reads the end offsets | reconcile",
	actCutEqual:        "the cut agrees with Postgres | reconcile",
	actCutDrift:        "the cut differs from Postgres: the epoch ends | reconcile",
	actReadBegins:      "a read of counts comes to Postgres | reads",
	actReadAnswered:    "Postgres has applied what was in the log when the read came: it is answered | reads",
	actReadRefused:     "Postgres is behind: the read is refused | reads",
	actRowMade:         "{i} writes the ballot's row for epoch {x} | ballot_ns",
	actMarkerMade:      "{i} makes the ballot's marker under name {x} | ballot_ns",
	actRowStands:       "{i} sees that epoch {x} still stands | ballot_ns",
	actMarkerFinished:  "{i} finishes the ballot's marker under name {x} | ballot_ns",
	actMarkerRefused:   "{i} may not make the ballot's marker under name {x} | ballot_ns",
}

// String tells the step as a sentence.
func (s Step) String() string {
	what, rule, _ := strings.Cut(texts[s.act], " | ")
	r := strings.NewReplacer(
		"{i}", string(rune('A'+s.i)),
		"{b}", fmt.Sprintf("batch %d", s.b+1),
		"{x}", fmt.Sprint(s.x),
	)
	return fmt.Sprintf("%-90s (%s)", r.Replace(what), rule)
}

// emit takes one possible step.
type emit func(step Step, kind explore.Kind, next State)
