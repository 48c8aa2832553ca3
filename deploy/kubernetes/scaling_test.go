package kubernetes

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"sigs.k8s.io/yaml"

	"github.com/littlevote/littlevote/libs/config"
)

// An autoscaler has something to scale, which it alone counts, by metrics that there are.
func TestAutoscalers(t *testing.T) {
	known := adapterMetrics(t)
	each(t, func(t *testing.T, c *cluster) {
		scaled := map[string]bool{}
		for _, scaler := range c.scalers {
			ref := scaler.Spec.ScaleTargetRef
			w := c.named(t, ref.Name)
			scaled[w.Name] = true
			if w.kind != ref.Kind || w.replicas != nil {
				t.Errorf("%s: scales a %s, there is %s with %v replicas of its own", scaler.Name, ref.Kind, w, w.replicas)
			}
			if *scaler.Spec.MinReplicas < 2 {
				t.Errorf("%s: one replica is none while it restarts", scaler.Name)
			}
			for _, metric := range scaler.Spec.Metrics {
				if metric.Type == autoscalingv2.PodsMetricSourceType && !known[metric.Pods.Metric.Name] {
					t.Errorf("%s: prometheus-adapter has no rule for %s", scaler.Name, metric.Pods.Metric.Name)
				}
				if cpu := metric.ContainerResource; cpu != nil && cpu.Container != w.template.Spec.Containers[0].Name {
					t.Errorf("%s: there is no container %s", scaler.Name, cpu.Container)
				}
			}
			if ref.Name == "persister" && int(scaler.Spec.MaxReplicas) > config.DefaultKafka().Partitions {
				t.Errorf("%d persisters have %d partitions", scaler.Spec.MaxReplicas, config.DefaultKafka().Partitions)
			}
		}
		if strings.HasPrefix(c.overlay, "prod") != (len(scaled) == 6) {
			t.Errorf("autoscalers for %v", scaled)
		}
	})
}

// adapterMetrics are the metrics that the rules make, each of which a program exports.
func adapterMetrics(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("components/autoscaling/prometheus-adapter.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var values struct {
		Rules struct {
			Default bool `json:"default"`
			Custom  []struct {
				SeriesQuery string `json:"seriesQuery"`
				Resources   struct {
					Overrides map[string]struct {
						Resource string `json:"resource"`
					} `json:"overrides"`
				} `json:"resources"`
				Name struct {
					Matches string `json:"matches"`
					As      string `json:"as"`
				} `json:"name"`
				MetricsQuery string `json:"metricsQuery"`
			} `json:"custom"`
		} `json:"rules"`
	}
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, rule := range values.Rules.Custom {
		name := rule.Name.As
		known[name] = true
		if !strings.HasPrefix(rule.SeriesQuery, name+"{") {
			t.Errorf("%s comes from %s", name, rule.SeriesQuery)
		}
		// Prometheus's name is OpenTelemetry's with underscores, and its unit.
		dotted := strings.ReplaceAll(strings.TrimSuffix(name, "_seconds"), "_", ".")
		found := exec.CommandContext(t.Context(), "git", "grep", "--quiet", "-F", `"`+dotted+`"`, "--", "../../gateway/*.go", "../../services/*.go")
		if err := found.Run(); err != nil {
			t.Errorf("no program exports %s: %v", dotted, err)
		}
	}
	return known
}
