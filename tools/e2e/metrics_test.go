package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/tools/e2e/internal/fixture"
)

// TestMetricsAreThoseOfTheList holds deploy/observability/metrics.txt, by which dashboards and alerts are checked, to what a running
// system exports: what is listed is there, and what is there is listed.
func TestMetricsAreThoseOfTheList(t *testing.T) {
	text, err := os.ReadFile(filepath.FromSlash("../../deploy/observability/metrics.txt"))
	if err != nil {
		t.Fatal(err)
	}
	listed, always := map[string]string{}, map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if name, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			kind, when, _ := strings.Cut(rest, " ")
			listed[name], always[name] = kind, when == ""
		}
	}
	nobody := "http://127.0.0.1:9" // whom spans are sent to in vain: votes do not wait for them
	up := fixture.StartUp(t, "up", testenv.Dir(t), "--reconcile-interval=200ms", "--trace-endpoint="+nobody)
	const vote = `{"query":"mutation { ticketAndVote(usernames: [\"A\"]) { code } }"}`
	response, err := http.Post("http://"+up.Addresses["gateway"]+"/graphql", "application/json", strings.NewReader(vote))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	testenv.Eventually(t, 20*time.Second, func() error {
		_, metrics := get(t, "http://"+up.Addresses["admin"]+"/metrics")
		return compareMetrics(string(metrics), listed, always)
	})
}

func compareMetrics(metrics string, listed map[string]string, always map[string]bool) error {
	exported := map[string]string{}
	for line := range strings.Lines(metrics) {
		var name, kind string
		if n, err := fmt.Sscanf(line, "# TYPE %s %s", &name, &kind); err == nil && n == 2 {
			exported[name] = kind
		}
	}
	var wrong []error
	for name, kind := range exported {
		if listed[name] != kind && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") && name != "target_info" &&
			!strings.HasPrefix(name, "promhttp_") {
			wrong = append(wrong, fmt.Errorf("%s, a %s, is not in the list, or as a %q", name, kind, listed[name]))
		}
	}
	for name := range listed {
		if always[name] && exported[name] == "" {
			wrong = append(wrong, fmt.Errorf("nobody exports %s", name))
		}
	}
	return errors.Join(wrong...)
}
