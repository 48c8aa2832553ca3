package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/tools/bench/internal/load"
)

func sample() Report {
	behind := 0.35
	return Report{
		Date:     time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
		Command:  "bench --connections 200",
		Machine:  Machine{Processor: "Abacus 7", Cores: 2, Platform: "linux/amd64", Go: "go1.26.8"},
		Settings: Settings{Target: "http://127.0.0.1:8080/graphql", Connections: 200, WarmUpSeconds: 2, DurationSeconds: 10, NamesPerVote: 1},
		Operations: []Operation{{
			Name:  "vote",
			Floor: Measure(load.Result{Window: 10 * time.Second, Successes: 391234, Latency: load.Latency{P50: 850 * time.Microsecond}}, 2),
			System: Measure(load.Result{
				Window: 10 * time.Second, Successes: 200000, Processor: 4 * time.Second, Unsent: 3,
				Latency: load.Latency{P50: 4250 * time.Microsecond, Max: 12 * time.Second},
				Refused: map[string]int64{"TICKET_SUPERSEDED": 2, "TICKET_EXPIRED": 40}, Failed: map[string]int64{"timeout": 1},
			}, 2),
			Ratio: 0.51,
			Verification: &Verification{
				Acknowledged: 240000, Unknown: 1, LagHighestSeconds: &behind,
				Checks: []Check{{Source: "user_votes", Agreed: true, AfterSeconds: 0.25}},
			},
		}},
		Verified: true,
	}
}

func table(t *testing.T, r Report) string {
	t.Helper()
	var text bytes.Buffer
	if err := r.WriteTable(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestTable(t *testing.T) {
	text := table(t, sample())
	for _, want := range []string{
		"2026-11-21 12:00:00 UTC  bench --connections 200",
		"Abacus 7, 2 cores",
		"39,123",
		"20,000   0.51  4.2ms",
		"850µs",
		"12.0s",
		"20%",
		"vote, system, refused: TICKET_EXPIRED 40, TICKET_SUPERSEDED 2",
		"vote, system, failed: timeout 1",
		"240000 votes acknowledged so far, 1 of unknown outcome",
		"user_votes       agrees, 0.25s after the run",
		"at most 0.35s behind",
		"Verified: every acknowledged vote counts exactly once.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}

	wrong := sample()
	wrong.Verified = false
	wrong.Operations[0].Verification.Checks[0] = Check{Source: "user_votes", AfterSeconds: 10, Problem: "A grew by 2, of 3 acknowledged"}
	if text := table(t, wrong); !strings.Contains(text, "WRONG after 10.00s: A grew by 2, of 3 acknowledged") ||
		!strings.Contains(text, "VERIFICATION FAILED") || strings.Contains(text, "Verified:") {
		t.Errorf("wrong counts are written so:\n%s", text)
	}
}

func TestJSONHoldsTheWholeReport(t *testing.T) {
	var text bytes.Buffer
	if err := sample().WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(text.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), back); diff != "" {
		t.Errorf("after a round trip (-want +got):\n%s", diff)
	}
}
