package mutants

// Where the rules and their tests are, below the root of the repository.
const (
	redisledger = "libs/redisledger"
	pgledger    = "libs/pgledger"
	epoch       = "libs/epoch"
	persist     = "services/persister/internal/persist"
	voting      = "services/vote-service/internal/voting"
	voteService = "services/vote-service"
	ballots     = "services/vote-service/internal/ballots"
	reconcile   = "services/vote-service/internal/reconcile"
	query       = "services/query-service"
	gateway     = "gateway"
)

// Catch is what must notice a mutant: tests of a package, of which one at least fails, or a fault with a seed.
type Catch struct {
	Mutant  string
	Package string
	Tests   []string
	Fault   string
	Seed    uint64
}

func by(mutant, pkg string, tests ...string) Catch {
	return Catch{Mutant: mutant, Package: pkg, Tests: tests}
}

func fault(mutant, name string, seed uint64) Catch {
	return Catch{Mutant: mutant, Fault: name, Seed: seed}
}

// Table has a line for every place in which a rule stands: one that holds in Redis and in Postgres has two.
func Table() []Catch {
	return []Catch{
		by("answer-before-settle", voting, "TestLeaseIsCheckedAfterTheSettlement", "TestSettlementWithoutAnswer"),
		by("ack-before-produce", voting, "TestNothingIsAcknowledgedBeforeItIsDurable"),
		by("pending-is-same", voting, "TestPendingIsNotSame"),
		by("pending-is-same", redisledger, "TestSeenKeyPointsToItsBatch"),
		by("refund-claimed", redisledger, "TestClaimedBatchIsNeverRefunded"),
		by("refund-after-commit-unknown", voting, "TestCommitWithoutAnswerIsUnknown"),
		by("refund-maybe-sent", voting, "TestMaybeSentIsUnknown"),
		by("apply-ignores-epoch", pgledger, "TestApplyOfAnOverEpoch"),
		by("no-lease-check", epoch, "TestLeaseRunsOutWithoutPostgres"),
		by("no-barrier", epoch, "TestBarrierWaitsForParticipants"),
		fault("no-drain", "X9", 1),
		fault("no-record-switch", "X10", 1),
		by("no-replid", redisledger, "TestEveryScriptIsFenced"),
		by("admit-forgets-batch", redisledger, "TestAdmitIsIdempotentByBatchID"),
		by("resend-refused", voting, "TestAdmissionWithoutAnswer"),
		by("limits-before-key", redisledger, "TestKeyIsLookedAtBeforeTimeAndLimits", "TestRetractionWithAKey"),
		by("settle-twice", redisledger, "TestSettleCountsOnce"),
		by("no-busy", redisledger, "TestVoterWaitsForTheirLastBatch"),
		by("own-batch-decides", redisledger, "TestVoterLimit", "TestAVoteThatIsChangedTwiceInABatch"),
		by("evicting-redis", redisledger, "TestARedisThatEvictsIsNone"),
		by("parts-may-go", redisledger, "TestAKeyThatIsGoneEndsTheLedger"),
		by("stall-ignored", voting, "TestAVoteIsNotDeniedByAProcessThatWasStalled"),
		by("behind-shown", query, "TestAnEmptiedRedisIsNoCount"),
		by("drops-forgotten", persist, "TestWhatHadNoEffectHasNoneAfterARestore"),
		by("directory-trusted", query, "TestOldRowsShowNothingThatIsHidden"),
		by("directory-trusted", voting, "TestABallotThatWasJustMadeIsVotedOn"),
		by("tally-check", pgledger, "TestApplyTakesARetractionFirst"),
		by("certify-ignores-outbox", ballots, "TestH19CertifyWaitsForTheOutbox"),
		by("apply-ignores-certified", pgledger, "TestApplyToACertifiedBallot"),
		by("no-future-bound", redisledger, "TestKeysThatAreNotYoungMustBeLookedUp"),
		by("look-up-ignores-lag", voteService, "TestKeyOfTheLedger"),
		by("reconcile-live", reconcile, "TestH22BatchesOnTheirWayAreNoDrift"),
		by("no-batch-ids", pgledger, "TestApplyIsIdempotentByBatchID"),
		by("offset-first", persist, "TestLostAnswerToCommit", "TestPostgresAway", "TestRestartGoesOnWhereTheLedgerStands"),
		by("no-offset-check", pgledger, "TestApplyMovesOffsetsByCompareAndSet"),
		by("dead-letter-ours", persist, "TestOursThatCannotBeAppliedHaltsItsPartition"),
		by("no-cap", redisledger, "TestAdmitTakesUsesUpToTheCap"),
		by("no-cap", pgledger, "TestCastTickets"),
		by("no-voter-limit", redisledger, "TestVoterLimit"),
		by("no-voter-limit", pgledger, "TestCastVoterLimit"),
		by("state-without-candidate", redisledger, "TestS61ASecondLikeAndAnUnlikeWithoutALikeAreRefused"),
		by("state-without-candidate", pgledger, "TestS61CastLimitsEachCandidate"),
		by("state-without-period", redisledger, "TestLimitPerPeriodBeginsAnew"),
		by("state-without-period", pgledger, "TestCastLimitsEachPeriod"),
		by("change-keeps-old", redisledger, "TestChangeOfMindIsOneAct"),
		by("evict-young", redisledger, "TestS62WhatIsYoungOrWaitsIsNotEvicted"),
		by("eviction-unmarked", redisledger, "TestS62WhatIsYoungOrWaitsIsNotEvicted", "TestPeriodsThatAreOverAreEvicted"),
		by("void-twice", pgledger, "TestVoidsTakeEachVoteOutOnce"),
		by("hidden-shown", query, "TestWhoMaySeeCounts"),
		by("hidden-shown", voteService, "TestTotalsAreShownAsTheBallotSays"),
		by("tenant-ignored", gateway, "TestTheSameIdOfTwoTenants", "TestTenantsDoNotSeeEachOthersTallies"),
	}
}
