package queryservice_test

import (
	"fmt"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/testenv"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"

	queryservice "github.com/littlevote/littlevote/services/query-service"
)

func (w *world) ranking(req *queryv1.GetRankingRequest) *queryv1.GetRankingResponse {
	w.t.Helper()
	resp, err := w.GetRanking(w.t.Context(), req)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

// places writes ranks as "1 A 5, 2 B 3".
func places(ranks []*queryv1.Rank) string {
	var list []string
	for _, r := range ranks {
		list = append(list, fmt.Sprintf("%d %s %d", r.GetRank(), r.GetCount().GetCandidate(), r.GetCount().GetVotes()))
	}
	return strings.Join(list, ", ")
}

func TestRanking(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(*queryservice.Config) {},
		`INSERT INTO ballots (ballot, max_candidates, ticket_interval_ms) VALUES ('huge', 10001, 2000), ('acme.song', 10000, 2000)`,
		"INSERT INTO user_votes VALUES ('acme.song', 'Ä', 2, 2, now())")
	for _, name := range []string{"B", "B", "D", "D", "C", "Z"} {
		w.count("main", name, 1)
	}
	// The tie-break is the name in the order of bytes; ranks are shared; candidates without votes are there.
	first := w.ranking(&queryv1.GetRankingRequest{PageSize: 5})
	if diff := cmp.Diff("1 B 2, 1 D 2, 3 C 1, 3 Z 1, 5 A 0", places(first.GetRanks())); diff != "" {
		t.Error(diff)
	}
	if first.GetCandidates() != 26 || first.GetVotes() != 6 || first.GetStale() || first.GetAsOf() == nil || first.GetSource() != queryv1.Source_SOURCE_REDIS ||
		first.GetRanks()[0].GetCount().GetUpdatedAt() == nil || first.GetRanks()[4].GetCount().GetUpdatedAt() != nil {
		t.Errorf("%v", first)
	}
	// All pages hold each candidate once, and the rank stays the same in the middle of a tie.
	var all []*queryv1.Rank
	for after, page := "", 0; ; page++ {
		got := w.ranking(&queryv1.GetRankingRequest{Ballot: "main", PageSize: 3, After: after})
		all = append(all, got.GetRanks()...)
		if after = got.GetNext(); after == "" || page > 20 {
			break
		}
	}
	if len(all) != 26 || all[3].GetRank() != 3 || all[25].GetRank() != 5 || all[25].GetCount().GetCandidate() != "Y" {
		t.Errorf("%d: %s", len(all), places(all))
	}
	// An open list has those that somebody voted for; ten are a page where nothing is said.
	w.count("cast", "bob", 2)
	w.count("cast", "alice", 2)
	if got := w.ranking(&queryv1.GetRankingRequest{Ballot: "cast"}); places(got.GetRanks()) != "1 alice 2, 1 bob 2" || got.GetNext() != "" {
		t.Errorf("%v", got)
	}
	w.count("acme.song", "Z", 2)
	if got := w.ranking(&queryv1.GetRankingRequest{Ballot: "acme.song"}); places(got.GetRanks()) != "1 Z 2, 1 Ä 2" {
		t.Errorf("%v", got)
	}
	if got := w.ranking(&queryv1.GetRankingRequest{}); len(got.GetRanks()) != 10 {
		t.Errorf("%v", got)
	}
	if got := w.ranking(&queryv1.GetRankingRequest{Ballot: "tiny"}); len(got.GetRanks()) != 0 || got.GetNext() != "" || got.GetCandidates() != 0 {
		t.Errorf("%v", got)
	}
	w.badRankings()
}

func (w *world) badRankings() {
	w.t.Helper()
	for name, test := range map[string]struct {
		req    *queryv1.GetRankingRequest
		code   connect.Code
		detail statusv1.Code
	}{
		"a large page":     {&queryv1.GetRankingRequest{PageSize: 1001}, connect.CodeInvalidArgument, statusv1.Code_CODE_INVALID_ARGUMENT},
		"a negative page":  {&queryv1.GetRankingRequest{PageSize: -1}, connect.CodeInvalidArgument, statusv1.Code_CODE_INVALID_ARGUMENT},
		"no cursor":        {&queryv1.GetRankingRequest{After: "?"}, connect.CodeInvalidArgument, statusv1.Code_CODE_INVALID_ARGUMENT},
		"a long cursor":    {&queryv1.GetRankingRequest{After: strings.Repeat("A", 1000)}, connect.CodeInvalidArgument, statusv1.Code_CODE_INVALID_ARGUMENT},
		"no token":         {&queryv1.GetRankingRequest{AtLeast: "1.2"}, connect.CodeInvalidArgument, statusv1.Code_CODE_INVALID_ARGUMENT},
		"no ballot":        {&queryv1.GetRankingRequest{Ballot: "none"}, connect.CodeNotFound, statusv1.Code_CODE_BALLOT_NOT_FOUND},
		"no ballot's name": {&queryv1.GetRankingRequest{Ballot: "a.b.c"}, connect.CodeNotFound, statusv1.Code_CODE_BALLOT_NOT_FOUND},
		"too many":         {&queryv1.GetRankingRequest{Ballot: "huge"}, connect.CodeFailedPrecondition, statusv1.Code_CODE_FAILED_PRECONDITION},
	} {
		_, err := w.GetRanking(w.t.Context(), test.req)
		detail, _ := service.Detail(err)
		if connect.CodeOf(err) != test.code || detail.GetCode() != test.detail || detail.GetOutcome() != statusv1.Outcome_OUTCOME_NONE {
			w.t.Errorf("%s: %v %v", name, err, detail)
		}
	}
	if got := w.read(&queryv1.TallyRead{Ballot: "huge"}, &queryv1.TallyRead{Ballot: "huge", Candidates: []string{"x"}}); got[0].GetCode() != statusv1.Code_CODE_INVALID_ARGUMENT ||
		got[1].GetCode() != statusv1.Code_CODE_OK {
		w.t.Errorf("%v", got)
	}
}

// A ranking with a token is as new as that vote, also while counts come from Postgres.
func TestRankingNotOlderThanAVote(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(*queryservice.Config) {})
	w.count("main", "C", 3)
	token := pgledger.Token{Epoch: w.epoch().Epoch, Admission: 1, Batch: [16]byte{6: 0x70}}
	if got := w.ranking(&queryv1.GetRankingRequest{PageSize: 1, AtLeast: token.String()}); places(got.GetRanks()) != "1 C 3" {
		t.Errorf("%v", got)
	}
	w.freeze()
	if err := w.ledger.Unlink(t.Context(), w.fence.NS); err != nil {
		t.Fatal(err)
	}
	w.exec("INSERT INTO user_votes VALUES ('main', 'D', 4, 4, now())")
	if got := w.ranking(&queryv1.GetRankingRequest{PageSize: 1}); places(got.GetRanks()) != "1 D 4" || !got.GetStale() {
		t.Errorf("%v", got)
	}
	w.exec("INSERT INTO applied_batches (batch_id, epoch) VALUES ($1, $2)", token.Batch, token.Epoch)
	if got := w.ranking(&queryv1.GetRankingRequest{PageSize: 1, AtLeast: token.String()}); places(got.GetRanks()) != "1 D 4" || !got.GetStale() || got.GetCandidates() != 26 {
		t.Errorf("%v", got)
	}
}
