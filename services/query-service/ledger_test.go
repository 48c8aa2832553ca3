package queryservice_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/testenv"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"

	queryservice "github.com/littlevote/littlevote/services/query-service"
)

// G8, G10: while votes are decided in Postgres the primary's counts are exact, and said to be.
func TestCountsAreExactWhileVotesAreDecidedInPostgres(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(cfg *queryservice.Config) { cfg.Postgres.ReplicaURL = cfg.Postgres.URL })
	w.count("main", "A", 5)
	w.exec("INSERT INTO user_votes VALUES ('main', 'A', 5, 5, now())") // as the persister has it
	w.exec("UPDATE ledger_epoch SET held = true")
	testenv.Eventually(t, 20*time.Second, func() error {
		tally := w.read(&queryv1.TallyRead{Candidates: []string{"A"}})[0]
		if n := votes(tally)["A"]; n != 5 {
			t.Fatalf("a count of %d on the way", n) // never, whatever the label
		}
		if tally.GetSource() != queryv1.Source_SOURCE_POSTGRES_PRIMARY || tally.GetStale() {
			return fmt.Errorf("%v", tally)
		}
		return nil
	})
	now := w.epoch()
	if now.Mode != epoch.Postgres {
		t.Fatalf("the epoch is %+v", now)
	}
	w.exec("UPDATE user_votes SET votes = 6")
	if tally := w.read(&queryv1.TallyRead{Candidates: []string{"A"}})[0]; votes(tally)["A"] != 6 || tally.GetStale() {
		t.Errorf("%v", tally)
	}
	// And back: nothing is lost, and the label is right all the time.
	w.exec("UPDATE ledger_epoch SET held = false, stay = interval '0'")
	testenv.Eventually(t, 20*time.Second, func() error {
		tally := w.read(&queryv1.TallyRead{Candidates: []string{"A"}})[0]
		if n := votes(tally)["A"]; n != 6 {
			t.Fatalf("a count of %d on the way back", n)
		}
		if tally.GetSource() != queryv1.Source_SOURCE_REDIS || tally.GetStale() {
			return fmt.Errorf("%v", tally)
		}
		return nil
	})
	w.fence = w.epoch().Fence()
}

// H8: what this process believes does not make a count exact; the row that was read with it does.
func TestTheRowDecidesWhetherACountIsStale(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(cfg *queryservice.Config) { cfg.Participant.Heartbeat = time.Second })
	w.freeze()
	for _, row := range []struct {
		mode, state string
		stale       bool
	}{{"pg", "open", false}, {"pg", "ending", true}, {"redis", "ending", true}} {
		w.exec("UPDATE ledger_epoch SET epoch = epoch + 1, mode = $1, state = $2, ns = ''", row.mode, row.state)
		testenv.Eventually(t, 10*time.Second, func() error {
			tally := w.read(&queryv1.TallyRead{})[0]
			if tally.GetSource() != queryv1.Source_SOURCE_POSTGRES_PRIMARY || tally.GetStale() != row.stale {
				return fmt.Errorf("%v", tally)
			}
			return nil
		})
	}
}

// F7, H37: an emptied Redis is not a count of zero, nor is a Postgres that has not heard of the votes.
func TestAnEmptiedRedisIsNoCount(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(*queryservice.Config) {})
	w.freeze()
	w.fallBack()
	if err := w.ledger.Unlink(t.Context(), w.fence.NS); err != nil {
		t.Fatal(err)
	}
	// What was applied a moment ago may lack what was acknowledged since.
	tally, err := w.readAt(nil, 10*time.Second)
	refused(t, err)
	if err == nil {
		t.Errorf("it is %v", tally)
	}
	_, err = w.GetRanking(t.Context(), &queryv1.GetRankingRequest{})
	refused(t, err)
	// A caller with less time is told so within it.
	_, err = w.readAt(nil, tooShort)
	refused(t, err)

	w.exec("INSERT INTO user_votes VALUES ('main', 'A', 9, 9, now())")
	var began time.Time
	if err := w.pool.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&began); err != nil {
		t.Fatal(err)
	}
	w.persist()
	tally, err = w.readAt(nil, 10*time.Second)
	if err != nil || votes(tally)["A"] != 9 || !tally.GetStale() || tally.GetAsOf().AsTime().Before(began) {
		t.Errorf("asked for at %v: %v, %v", began, tally, err)
	}
}

// readAt reads with a token, or without for nil, within a time.
func (w *world) readAt(token *pgledger.Token, within time.Duration) (*queryv1.Tally, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), within)
	defer cancel()
	read := &queryv1.TallyRead{Candidates: []string{"A"}}
	if token != nil {
		read.AtLeast = token.String()
	}
	resp, err := w.GetTallies(ctx, &queryv1.GetTalliesRequest{Reads: []*queryv1.TallyRead{read}})
	if err != nil {
		return nil, err
	}
	return resp.GetTallies()[0], nil
}

// tooShort is too short for a store that never has what a read asks for, and long enough for the answer that says so.
const tooShort = 2 * time.Second

// refused checks that a read was refused, and may be tried again.
func refused(t *testing.T, err error) {
	t.Helper()
	detail, ok := service.Detail(err)
	if connect.CodeOf(err) != connect.CodeUnavailable || !ok || detail.GetCode() != statusv1.Code_CODE_UNAVAILABLE ||
		detail.GetOutcome() != statusv1.Outcome_OUTCOME_NONE || !detail.GetRetryable() || detail.GetRetryAfter().AsDuration() <= 0 {
		t.Errorf("got %v, %v", err, detail)
	}
}

func TestTokensWhileVotesAreDecidedInRedis(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(*queryservice.Config) {})
	w.count("main", "A", 3)
	now := w.epoch().Epoch
	for _, number := range []int64{now, now - 1} {
		tally, err := w.readAt(&pgledger.Token{Epoch: number, Admission: 3, Batch: uuid.Must(uuid.NewV7())}, 5*time.Second)
		if err != nil || votes(tally)["A"] != 3 || tally.GetStale() {
			t.Errorf("%v %v", tally, err)
		}
	}
	// A token of an epoch that this process has not heard of waits for it.
	next := pgledger.Token{Epoch: now + 1, Admission: 3, Batch: uuid.Must(uuid.NewV7())}
	_, err := w.readAt(&next, tooShort)
	refused(t, err)
	w.exec("UPDATE ledger_epoch SET state = 'ending'") // the next one is opened at once
	tally, err := w.readAt(&next, 20*time.Second)
	if err != nil || tally.GetStale() {
		t.Errorf("%v %v", tally, err)
	}
	w.fence = w.epoch().Fence()
}

// F18, H37: a store that lags is passed over, and one that does not answers a token only once it has its vote.
func TestTokensWhileRedisIsAway(t *testing.T) {
	behind := &world{t: t, cfg: queryservice.DefaultConfig()}
	behind.cfg.Postgres.URL = testenv.Postgres(t)
	behind.migrate()
	w := newWorld(t, testenv.Redis(t), func(cfg *queryservice.Config) { cfg.Postgres.ReplicaURL = behind.cfg.Postgres.URL })
	now := w.epoch().Epoch
	behind.exec("INSERT INTO ledger_epoch (epoch, mode, state, ns, replicated, reason) VALUES ($1, 'redis', 'open', '', false, '')", now)
	w.freeze()
	if err := w.ledger.Unlink(t.Context(), w.fence.NS); err != nil {
		t.Fatal(err)
	}
	token := pgledger.Token{Epoch: now, Admission: 1, Batch: uuid.Must(uuid.NewV7())}
	// The vote is in the log only.
	_, err := w.readAt(&token, tooShort)
	refused(t, err)
	if tally := w.read(&queryv1.TallyRead{})[0]; tally.GetSource() != queryv1.Source_SOURCE_POSTGRES_PRIMARY || !tally.GetStale() {
		t.Errorf("without a token: %v", tally)
	}
	// It reaches the primary while a read waits for it, and the replica does not have it.
	waiting := make(chan error, 1)
	go func() {
		tally, err := w.readAt(&token, 20*time.Second)
		if err == nil && (votes(tally)["A"] != 1 || !tally.GetStale() || tally.GetSource() != queryv1.Source_SOURCE_POSTGRES_PRIMARY) {
			err = fmt.Errorf("%v", tally)
		}
		waiting <- err
	}()
	w.exec("WITH b AS (INSERT INTO applied_batches (batch_id, epoch) VALUES ($1, $2)) INSERT INTO user_votes VALUES ('main', 'A', 1, 1, now())", token.Batch, now)
	if err := <-waiting; err != nil {
		t.Error(err)
	}
	// Then the replica has it too, and is not behind any more.
	behind.persist()
	w.awaitSource(queryv1.Source_SOURCE_POSTGRES_REPLICA)
	_, err = w.readAt(&pgledger.Token{Epoch: now, Admission: 2, Batch: uuid.Must(uuid.NewV7())}, tooShort)
	refused(t, err)
	behind.exec("WITH b AS (INSERT INTO applied_batches (batch_id, epoch) VALUES ($1, $2)) INSERT INTO user_votes VALUES ('main', 'A', 1, 1, now())", token.Batch, now)
	testenv.Eventually(t, 10*time.Second, func() error { // from the one that is caught up first
		tally, err := w.readAt(&token, 5*time.Second)
		if err == nil && (votes(tally)["A"] != 1 || !tally.GetStale() || tally.GetSource() != queryv1.Source_SOURCE_POSTGRES_REPLICA) {
			err = fmt.Errorf("%v", tally)
		}
		return err
	})
	// An epoch that is over ended with everything acknowledged applied.
	if tally, err := w.readAt(&pgledger.Token{Epoch: now - 1, Admission: 1, Batch: uuid.Must(uuid.NewV7())}, 5*time.Second); err != nil || !tally.GetStale() {
		t.Errorf("%v %v", tally, err)
	}
}

func TestTokensThatAreNone(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(*queryservice.Config) {})
	good := pgledger.Token{Epoch: w.epoch().Epoch, Admission: 1, Batch: uuid.Must(uuid.NewV7())}
	far := good
	far.Epoch = time.Now().Add(48 * time.Hour).Unix()
	text := good.String()
	for _, token := range []string{
		"x", "1.2", "..", "1.1." + strings.Repeat("g", 32), "-1" + text[1:], " " + text, text + " ", text + "\n", strings.ToUpper(text[:len(text)-32]) + "ABCDEF" + text[len(text)-26:],
		"0" + text, "+" + text, "9223372036854775808.1." + strings.Repeat("0", 32), strings.Repeat("1", 1000), "1.1.1." + strings.Repeat("0", 32), "' OR 1=1", far.String(),
	} {
		tally := w.read(&queryv1.TallyRead{AtLeast: token}, &queryv1.TallyRead{AtLeast: text})
		if tally[0].GetCode() != statusv1.Code_CODE_INVALID_ARGUMENT || tally[0].GetCounts() != nil || tally[1].GetCode() != statusv1.Code_CODE_OK {
			t.Errorf("%q: %v", token, tally)
		}
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(*queryservice.Config) {})
	now := w.epoch().Epoch
	if _, err := w.readAt(&pgledger.Token{Epoch: now + 1, Admission: 1, Batch: uuid.Must(uuid.NewV7())}, tooShort); err == nil {
		t.Error("a token from the future is reached")
	}
	if _, err := w.readAt(&pgledger.Token{Epoch: now, Admission: 1, Batch: uuid.Must(uuid.NewV7())}, 5*time.Second); err != nil {
		t.Error(err)
	}
	w.freeze()
	if err := w.ledger.Unlink(t.Context(), w.fence.NS); err != nil {
		t.Fatal(err)
	}
	w.read(&queryv1.TallyRead{})
	got := w.metrics()
	for name, want := range map[string]float64{
		`littlevote_query_reads_total{source=redis,stale=false}`:    -1, // some
		`littlevote_query_reads_total{source=primary,stale=true}`:   -1,
		`littlevote_query_refusals_total{reason=token not reached}`: 1,
		`littlevote_query_token_wait_seconds{reached=true}`:         1,
		`littlevote_query_token_wait_seconds{reached=false}`:        1,
		`littlevote_query_queue_length{}`:                           0,
	} {
		if value, found := got[name]; !found || want >= 0 && value != want || want < 0 && value < 1 {
			t.Errorf("%s is %v, want %v; all: %v", name, value, want, got)
		}
	}
}
