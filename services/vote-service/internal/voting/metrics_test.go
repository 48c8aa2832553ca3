package voting

import (
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/groupcommit"
	"github.com/littlevote/littlevote/libs/service"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// What an operator sees: answers by ballot and code, refusals among them, without a name that a stranger or a tenant chose.
func TestMetrics(t *testing.T) {
	meter, registry, err := service.NewMeter("vote-service")
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{cfg: Config{Queue: 7}}
	queue := func() *groupcommit.Queue[*job] { return groupcommit.NewQueue(7, 7, 7, func(*job) int { return 1 }) }
	open := func(name string) *ballot { return &ballot{name: name, queue: queue(), retractions: queue()} }
	ours, one, other := open("main"), open("acme.final"), open("acme.other")
	e.ballots = &Ballots{names: map[string]*ballot{"main": ours, "acme.final": one, "acme.other": other}}
	if err := e.Observe(meter); err != nil {
		t.Fatal(err)
	}
	job1 := func(b *ballot, code statusv1.Code) job {
		return job{vote: vote{ballot: b}, verdict: &votev1.Verdict{Code: code}}
	}
	e.note([]job{
		job1(ours, statusv1.Code_CODE_OK), job1(ours, statusv1.Code_CODE_OK), job1(nil, statusv1.Code_CODE_BALLOT_NOT_FOUND),
		job1(ours, statusv1.Code_CODE_TICKET_EXHAUSTED), job1(one, statusv1.Code_CODE_OK), job1(other, statusv1.Code_CODE_OK),
	})
	e.note([]job{job1(ours, statusv1.Code_CODE_OUTCOME_UNKNOWN)})
	if err := ours.queue.Put(&job{}); err != nil {
		t.Fatal(err)
	}
	one.oldest.Store(int64(3 * time.Second))
	e.metrics.gathered(t.Context(), &batch{jobs: make([]*job, 40), ledger: epoch.Ledger{Mode: epoch.Postgres}})

	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "littlevote_vote_") {
			continue
		}
		for _, m := range family.GetMetric() {
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetHistogram().GetSampleSum()
			if value == 0 {
				continue
			}
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			got = append(got, fmt.Sprint(strings.TrimPrefix(family.GetName(), "littlevote_vote_"), labels, value))
		}
	}
	sort.Strings(got)
	want := []string{
		"answers_total[(tenants) OK] 2", "answers_total[main OK] 2", "answers_total[main OUTCOME_UNKNOWN] 1",
		"answers_total[main TICKET_EXHAUSTED] 1", "answers_total[none BALLOT_NOT_FOUND] 1",
		"batch_votes[postgres] 40", "outbox_age_seconds[] 3", "queue_length[main] 1", "queue_limit[] 7",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if len(statusv1.Code_name) > maxCodes {
		t.Errorf("%d codes, room for %d", len(statusv1.Code_name), maxCodes)
	}
}
