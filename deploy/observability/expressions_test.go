package observability

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"
	"sigs.k8s.io/yaml"
)

// variables of Grafana, which stand where a value does.
var variables = regexp.MustCompile(`\$\{?\w+\}?`)

// labelValues is a question that only Grafana knows, about a selector.
var labelValues = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)

// expressions are all that is asked of Prometheus, by where.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, r := range allRules(t) {
		all["rule "+r.Record+r.Alert] = r.Expr
	}
	for name, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				all[fmt.Sprintf("%s, %q, %s", name, p.Title, target.RefID)] = variables.ReplaceAllString(target.Expr, "x")
			}
		}
		for _, v := range d.Templating.List {
			if v.Type == "query" {
				parts := labelValues.FindStringSubmatch(v.Definition)
				if parts == nil {
					t.Errorf("%s: variable %s is %q", name, v.Name, v.Definition)
					continue
				}
				all[name+", variable "+v.Name] = variables.ReplaceAllString(parts[1], "x")
			}
		}
	}
	if len(all) < 100 { //nolint:mnd // There are more; a change of the files' form must not let all of this pass unseen.
		t.Fatalf("only %d expressions", len(all))
	}
	return all
}

// exported are the metrics of our processes, by metrics.txt, which tools/e2e holds to the truth.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		name, kind, _ := strings.Cut(strings.TrimSpace(line), " ")
		kind, _, _ = strings.Cut(kind, " ")
		if name == "" || name == "#" {
			continue
		}
		known[name] = true
		if kind == "histogram" {
			known[name+"_bucket"] = true
		}
		if kind == "histogram" || kind == "summary" {
			known[name+"_sum"], known[name+"_count"] = true, true
		}
	}
	return known
}

// Every expression is PromQL, by Prometheus's own word.
func TestExpressionsParse(t *testing.T) {
	var all rules
	all.Groups = append(all.Groups, group{Name: "expressions"})
	for where, text := range expressions(t) {
		all.Groups[0].Rules = append(all.Groups[0].Rules, rule{
			Record: "test:expression", Expr: text, Labels: map[string]string{"place": where}, // which promtool names
		})
	}
	text, err := yaml.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "expressions.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", path)
}

// Every expression asks for what is there: a metric of a process, a rule of ours, or what Prometheus adds.
func TestExpressionsAskForWhatIsThere(t *testing.T) {
	known := exported(t)
	known["up"], known["ALERTS"] = true, true
	for _, r := range allRules(t) {
		known[r.Record] = true
	}
	for where, text := range expressions(t) {
		expr, err := metricsql.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", where, err)
			continue
		}
		for _, name := range metricsIn(expr) {
			if !known[name] {
				t.Errorf("%s asks for %q, which nobody exports", where, name)
			}
		}
	}
}

// metricsIn are the names of the metrics in an expression.
func metricsIn(expr metricsql.Expr) []string {
	names := map[string]bool{}
	metricsql.VisitAll(expr, func(part metricsql.Expr) {
		if metric, ok := part.(*metricsql.MetricExpr); ok {
			for _, or := range metric.LabelFilterss {
				for _, filter := range or {
					if filter.Label == "__name__" {
						names[filter.Value] = true
					}
				}
			}
		}
	})
	return slices.Sorted(maps.Keys(names))
}

// What the processes export and nobody looks at is either looked at by people with a question, or forgotten: each is named here.
func TestNoMetricIsForgotten(t *testing.T) {
	asked := map[string]bool{}
	for _, text := range expressions(t) {
		expr, err := metricsql.Parse(text)
		if err != nil {
			continue // told by the test above
		}
		for _, name := range metricsIn(expr) {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				name = strings.TrimSuffix(name, suffix)
			}
			asked[name] = true
		}
	}
	text, err := os.ReadFile("metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.HasPrefix(name, "littlevote_") || asked[name] || looked[name] {
			continue
		}
		t.Errorf("%s is on no dashboard and in no alert", name)
	}
}

// looked are metrics for people with a question.
var looked = map[string]bool{
	"littlevote_blog_cache_local_size": true, "littlevote_blog_cache_queue_length": true, "littlevote_blog_cache_reads_total": true,
	"littlevote_blog_hash_duration_seconds": true, "littlevote_blog_hash_queue_length": true, "littlevote_blog_hot_keys": true,
	"littlevote_query_queue_length": true, "littlevote_query_token_wait_seconds": true, "littlevote_query_voted_cold_total": true,
	"littlevote_ticket_mint_duration_seconds": true, "littlevote_ticket_mode": true, "littlevote_vote_voters_evicted_total": true,
}
