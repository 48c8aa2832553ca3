package pgledger_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/proto"

	"github.com/littlevote/littlevote/libs/pgledger"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// sample is a ledger with something of everything: keys, voters, a retraction, an epoch's base, a dropped batch, a result.
type sample struct {
	pool                         *pgxpool.Pool
	plain, voted, withdrawn, big *eventv1.VoteBatch
}

func newSample(t *testing.T) sample {
	t.Helper()
	s := sample{pool: newLedger(t)}
	s.plain, s.withdrawn = newBatch("main", 1, "A", "B"), voterBatch(3, "u")
	s.plain.Votes[0].BodyHash = make([]byte, 16)
	back := retractionBatch(s.withdrawn, 4)
	mustApply(t, s.pool, s.plain, s.withdrawn, back, newBatch("tiny", 1, "X"))
	run(t, s.pool, "UPDATE ballots SET state = 'closed' WHERE ballot = 'tiny'")
	if _, err := certify(t, s.pool, 1, "tiny"); err != nil {
		t.Fatal(err)
	}
	openRedis(t, s.pool, 2)
	s.voted, s.big = voterBatch(5, "u"), newBatch("main", 6, "A", "B", "C")
	s.voted.Epoch, s.big.Epoch = 2, 2
	mustApply(t, s.pool, s.voted, s.big)
	late := newBatch("main", 9, "A")
	record, err := proto.Marshal(late)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pgledger.Apply(t.Context(), s.pool, pgledger.Batch{Events: []pgledger.Event{{VoteBatch: late, Record: record}}}); err != nil {
		t.Fatal(err)
	}
	run(t, s.pool, "UPDATE ballots SET votes_per_voter = 1 WHERE ballot = 'main'")
	run(t, s.pool, "UPDATE tickets SET cap = 7")                                     // just reached
	run(t, s.pool, "INSERT INTO user_votes VALUES ('main', 'Z', 0, 0, now())")       // nobody voted for it
	run(t, s.pool, "INSERT INTO tickets (ballot, version) VALUES ('main', '1.8.0')") // nobody used it
	expectRecount(t, s.pool)
	return s
}

func id(b []byte) string { return uuid.UUID(b).String() }

func vote0(b *eventv1.VoteBatch) string { return id(b.GetVotes()[0].GetVoteId()) }

func TestRecountFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	type finding = pgledger.Finding
	for name, c := range map[string]struct {
		spoil func(s sample) string
		want  func(s sample) []finding
	}{
		"a tally edited by hand": {
			func(sample) string { return "UPDATE user_votes SET votes = 7 WHERE ballot = 'main' AND username = 'C'" },
			func(sample) []finding { return []finding{{"tally", "main", "C", 1, 7, ""}} },
		},
		"tallies gone and invented": {
			func(sample) string {
				return "UPDATE user_votes SET username = 'D' WHERE ballot = 'main' AND username = 'C'"
			},
			func(sample) []finding {
				return []finding{{"tally", "main", "C", 1, 0, ""}, {"tally", "main", "D", 0, 1, ""}}
			},
		},
		"a ledger row deleted": {
			func(s sample) string { return "DELETE FROM vote_logs WHERE vote_id = '" + vote0(s.big) + "'" },
			func(sample) []finding {
				return []finding{{"tally", "main", "A", 3 - 1, 3, ""}, {"ticket", "main", "1.7.0", 6, 7, ""}}
			},
		},
		"a batch doubled under its id": {
			func(s sample) string {
				return "INSERT INTO vote_logs SELECT * FROM vote_logs WHERE batch_id = '" + id(s.voted.GetBatchId()) + "'"
			},
			func(s sample) []finding {
				return []finding{{"tally", "main", "A", 4, 3, ""}, {"row", "main", vote0(s.voted) + " for A", 1, 2, ""}}
			},
		},
		"a batch doubled under another id": {
			func(s sample) string {
				return `INSERT INTO vote_logs SELECT vote_id, ballot, username, delta, ticket_version, voter, voted_at, epoch, admission,
					'ffffffff-0000-7000-8000-000000000000', retracts, voter_id FROM vote_logs WHERE batch_id = '` + id(s.voted.GetBatchId()) + `'`
			},
			func(s sample) []finding {
				return []finding{
					{"tally", "main", "A", 4, 3, ""},
					{"vote", "main", vote0(s.voted), 1, 2, ""},
					{"batch", "main", "ffffffff-0000-7000-8000-000000000000", 0, 1, ""},
				}
			},
		},
		"a ticket used over its cap": {
			func(sample) string { return "UPDATE tickets SET cap = 6 WHERE ballot = 'main' AND version = '1.7.0'" },
			func(sample) []finding { return []finding{{"cap", "main", "1.7.0", 6, 7, ""}} },
		},
		"uses edited by hand": {
			func(sample) string { return "UPDATE tickets SET used = 9 WHERE ballot = 'main'" },
			func(sample) []finding {
				return []finding{
					{"ticket", "main", "1.7.0", 7, 9, ""}, {"ticket", "main", "1.8.0", 0, 9, ""},
					{"cap", "main", "1.7.0", 7, 9, ""},
				}
			},
		},
		"a key of no vote": {
			func(s sample) string { return "UPDATE vote_keys SET batch_id = '" + id(s.big.GetBatchId()) + "'" },
			func(s sample) []finding { return []finding{{"key", "main", vote0(s.plain), 1, 0, ""}} },
		},
		"a batch forgotten": {
			func(s sample) string {
				return "DELETE FROM applied_batches WHERE batch_id = '" + id(s.big.GetBatchId()) + "'"
			},
			func(s sample) []finding { return []finding{{"batch", "main", id(s.big.GetBatchId()), 0, 3, ""}} },
		},
		"a batch applied without effect": {
			func(sample) string {
				return "INSERT INTO applied_batches VALUES ('ffffffff-0000-7000-8000-000000000000', 2)"
			},
			func(sample) []finding {
				return []finding{{"batch", "", "ffffffff-0000-7000-8000-000000000000", 1, 0, ""}}
			},
		},
		"a batch dropped and applied": {
			func(s sample) string { return "UPDATE dropped_batches SET batch_id = '" + id(s.big.GetBatchId()) + "'" },
			func(s sample) []finding { return []finding{{"batch", "main", id(s.big.GetBatchId()), 1, 2, ""}} },
		},
		"a retraction forgotten": {
			func(sample) string { return "UPDATE voter_votes SET retracted = false" },
			func(s sample) []finding { return []finding{{"voter", "main", vote0(s.withdrawn), 2, 1, ""}} },
		},
		"a voter's vote unknown": {
			func(s sample) string { return "DELETE FROM voter_votes WHERE vote_id = '" + vote0(s.voted) + "'" },
			func(s sample) []finding { return []finding{{"voter", "main", vote0(s.voted), 1, 0, ""}} },
		},
		"a voter's vote for somebody else": {
			func(s sample) string {
				return "UPDATE voter_votes SET candidate = 'B' WHERE vote_id = '" + vote0(s.voted) + "'"
			},
			func(s sample) []finding { return []finding{{"voter", "main", vote0(s.voted), 1, 0, ""}} },
		},
		"a voter's vote of another time": {
			func(s sample) string {
				return "UPDATE voter_votes SET voted_at = voted_at - interval '1 s' WHERE vote_id = '" + vote0(s.voted) + "'"
			},
			func(s sample) []finding { return []finding{{"voter", "main", vote0(s.voted), 1, 0, ""}} },
		},
		"a voter over the limit": {
			func(sample) string { return "UPDATE vote_logs SET voter_id = 'u' WHERE username = 'C'" },
			func(s sample) []finding {
				return []finding{{"voter", "main", id(s.big.GetVotes()[2].GetVoteId()), 1, 0, ""}, {"limit", "main", "u", 1, 2, ""}}
			},
		},
		"a retraction of the wrong size": {
			func(sample) string { return "UPDATE vote_logs SET delta = -2 WHERE retracts IS NOT NULL" },
			func(s sample) []finding {
				return []finding{
					{"tally", "main", "A", 2, 3, ""}, {"retraction", "main", vote0(s.withdrawn) + " for A", 0, -1, ""},
					{"base", "main", "A", 0, 1, ""},
				}
			},
		},
		"a base edited by hand": {
			func(sample) string { return "UPDATE epoch_base SET votes = 8 WHERE username = 'B'" },
			func(sample) []finding { return []finding{{"base", "main", "B", 1, 8, ""}} },
		},
		"a result edited by hand": {
			func(sample) string { return `UPDATE results SET counts = '{"X": 2}', votes = 3` },
			func(sample) []finding {
				return []finding{{"result", "tiny", "X", 1, 2, ""}, {"result", "tiny", "votes", 1, 3, ""}}
			},
		},
		"a result without a certificate": {
			func(sample) string { return "UPDATE ballots SET state = 'open' WHERE ballot = 'tiny'" },
			func(sample) []finding { return []finding{{"result", "tiny", "state", 0, 1, ""}} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSample(t)
			run(t, s.pool, c.spoil(s))
			report, err := pgledger.Recount(t.Context(), s.pool)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want(s), report.Findings, cmpopts.IgnoreFields(finding{}, "Text")); diff != "" || report.OK() {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			for _, f := range report.Findings {
				if f.Text == "" || strings.Contains(f.Text, "%!") {
					t.Errorf("text of %+v", f)
				}
			}
		})
	}
}

func TestRecountCountsTheLedger(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	report, err := pgledger.Recount(t.Context(), s.pool)
	if err != nil || report.Rows != 9 || report.Votes != 7 || report.Epoch.Number != 2 {
		t.Errorf("report is %+v, %v", report, err)
	}
}

// Each record before the offset is compared with the rows of its batch.
func TestCheckRecords(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	unknown := newBatch("main", 10, "A")
	check := func(batches ...*eventv1.VoteBatch) []pgledger.Finding {
		t.Helper()
		var placed []pgledger.PlacedEvent
		for _, b := range batches {
			placed = append(placed, pgledger.PlacedEvent{Event: pgledger.Event{VoteBatch: b}, Place: "here"})
		}
		var found []pgledger.Finding
		err := pgledger.Snapshot(t.Context(), s.pool, func(tx pgx.Tx) (err error) {
			found, err = pgledger.CheckRecords(t.Context(), tx, placed)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if found := check(s.plain, s.withdrawn, s.voted, s.big, s.big); len(found) > 0 {
		t.Errorf("found %+v", found)
	}
	run(t, s.pool, "DELETE FROM vote_logs WHERE vote_id = $1", vote0(s.big))
	run(t, s.pool, "UPDATE vote_logs SET delta = 5 WHERE vote_id = $1", vote0(s.plain))
	run(t, s.pool, "UPDATE vote_logs SET username = 'Q' WHERE vote_id = $1", vote0(s.voted))
	want := []pgledger.Finding{
		{"record", "main", "here", 1, 0, ""},
		{"ledger", "main", vote0(s.plain) + " for A", 1, 5, ""},
		{"ledger", "main", vote0(s.voted) + " for A", 1, 0, ""},
		{"ledger", "main", vote0(s.voted) + " for Q", 0, 1, ""},
		{"ledger", "main", vote0(s.big) + " for A", 1, 0, ""},
	}
	less := func(a, b pgledger.Finding) bool { return a.Check+a.Row < b.Check+b.Row }
	if diff := cmp.Diff(want, check(s.plain, unknown, s.voted, s.big),
		cmpopts.IgnoreFields(pgledger.Finding{}, "Text"), cmpopts.SortSlices(less)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

// A retraction may be applied before its vote. Once everything of its time is applied, the vote is lost, as those are after a restore
// that Postgres alone had taken.
func TestRecountFindsARetractionWithoutItsVote(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	lost := voterBatch(3, "u")
	mustApply(t, pool, retractionBatch(lost, 4))
	run(t, pool, "INSERT INTO offsets SELECT gen_random_uuid(), 0, 9, max(voted_at) FROM vote_logs")
	expectRecount(t, pool)
	run(t, pool, "UPDATE offsets SET caught_up_at = caught_up_at + interval '61 s'")
	report, err := pgledger.Recount(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	want := []pgledger.Finding{{Check: "retraction", Ballot: "main", Row: vote0(lost), Want: 1}}
	if diff := cmp.Diff(want, report.Findings, cmpopts.IgnoreFields(pgledger.Finding{}, "Text")); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}
