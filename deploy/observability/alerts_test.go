package observability

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// promtool runs Prometheus's own checker.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	program, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("promtool is not installed: `apt-get install prometheus` brings it")
	}
	if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// Each alert fires when it should, in these words, and none while all is well.
func TestAlertsFire(t *testing.T) {
	promtool(t, "test", "rules", filepath.FromSlash("prometheus/tests/alerts_test.yaml"))
	var tests struct {
		RuleFiles          []string `json:"rule_files"`
		EvaluationInterval string   `json:"evaluation_interval"`
		Tests              []struct {
			Name   string `json:"name"`
			Alerts []struct {
				Name     string `json:"alertname"`
				At       string `json:"eval_time"`
				Expected []any  `json:"exp_alerts"`
			} `json:"alert_rule_test"`
			Interval string `json:"interval"`
			Series   []any  `json:"input_series"`
			Samples  []any  `json:"promql_expr_test"`
		} `json:"tests"`
	}
	read(t, "prometheus/tests/alerts_test.yaml", &tests)
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, test := range tests.Tests {
		for _, alert := range test.Alerts {
			fires[alert.Name] = fires[alert.Name] || len(alert.Expected) > 0
			silent[alert.Name] = silent[alert.Name] || len(alert.Expected) == 0 && test.Name == "well"
		}
	}
	for _, r := range allRules(t) {
		if r.Alert != "" && (!fires[r.Alert] || !silent[r.Alert]) {
			t.Errorf("%s is not tried: fires %v, silent while all is well %v", r.Alert, fires[r.Alert], silent[r.Alert])
		}
	}
}

func TestPrometheusReadsItsFiles(t *testing.T) {
	promtool(t, "check", "config", filepath.FromSlash("prometheus/prometheus.yaml"))
	promtool(t, append([]string{"check", "rules"}, files(t, "prometheus/rules/*.yaml")...)...)
}

var command = regexp.MustCompile("`(littlevote [a-z]+|/readyz)")

// Each alert says how bad it is, what is the matter, and what to do: to look at what, or to run which command.
func TestAlertsSayWhatToDo(t *testing.T) {
	var names []string
	for _, r := range allRules(t) {
		if r.Alert == "" {
			continue
		}
		names = append(names, r.Alert)
		if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) || len(r.Labels) != 1 {
			t.Errorf("%s: labels %v", r.Alert, r.Labels)
		}
		runbook := r.Annotations["runbook"]
		if r.Annotations["summary"] == "" || runbook == "" || strings.Contains(runbook, "\n") {
			t.Errorf("%s: summary %q, runbook %q, one line each", r.Alert, r.Annotations["summary"], runbook)
		}
		if r.Labels["severity"] == "critical" && !command.MatchString(runbook) && r.Alert != "LittleVoteDown" && r.Alert != "LittleVoteNoPersister" &&
			!strings.HasPrefix(runbook, "As LittleVote") {
			t.Errorf("%s names no command: %q", r.Alert, runbook)
		}
	}
	slices.Sort(names)
	if same := slices.Compact(slices.Clone(names)); len(same) != len(names) {
		t.Errorf("names are used twice: %v", names)
	}
}
