package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/littlevote/littlevote/libs/service"
)

// mostMetrics bounds what is read of a process's metrics.
const mostMetrics = 16 << 20

// process is what one says on its admin port.
type process struct {
	address string
	report  service.Report
	figures map[string]*dto.MetricFamily
}

func examineProcesses(ctx context.Context, s *settings, _ func() time.Time) []Finding {
	l := &list{area: "processes"}
	var all []process
	for _, named := range s.admin {
		for _, address := range l.addresses(ctx, named) {
			p, err := askProcess(ctx, address)
			if err != nil {
				l.unreachable("the admin port "+address, err, "nobody knows how that process is", "start it, or correct --admin")
				continue
			}
			l.judgeProcess(p)
			all = append(all, p)
		}
	}
	l.judgeVersions(all)
	return l.all
}

// addresses are all that a name has: in Kubernetes a headless service has one for each pod.
func (l *list) addresses(ctx context.Context, named string) []string {
	host, port, err := net.SplitHostPort(named)
	if err != nil {
		l.unreachable(named, err, "", "host:port in --admin")
		return nil
	}
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		l.unreachable(named, err, "nobody knows how those processes are", "correct --admin")
		return nil
	}
	var all []string
	for _, one := range found {
		all = append(all, net.JoinHostPort(one, port))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func askProcess(ctx context.Context, address string) (process, error) {
	p := process{address: address}
	body, err := get(ctx, "http://"+address+"/readyz")
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(body, &p.report); err != nil {
		return p, fmt.Errorf("/readyz: %w", err)
	}
	if body, err = get(ctx, "http://"+address+"/metrics"); err != nil {
		return p, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	if p.figures, err = parser.TextToMetricFamilies(strings.NewReader(string(body))); err != nil {
		return p, fmt.Errorf("/metrics: %w", err)
	}
	return p, nil
}

func get(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, mostMetrics))
}

// sum adds up a metric over all its labels.
func (p process) sum(name string) float64 {
	var total float64
	for _, m := range p.figures[name].GetMetric() {
		total += value(m)
	}
	return total
}

// value is a figure, whatever kind its process says it is.
func value(m *dto.Metric) float64 {
	return m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
}

func (l *list) judgeProcess(p process) {
	if !p.report.Ready {
		var failing []string
		for name, result := range p.report.Checks {
			if result != "ok" {
				failing = append(failing, name+": "+result)
			}
		}
		slices.Sort(failing)
		what := strings.Join(failing, "; ")
		if p.report.Draining {
			what = "it is told to stop"
		}
		l.add(Broken, "ready", fmt.Sprintf("%s is not ready: %s", p.address, what), "it gets no calls", "what fails says what to mend", "G12")
	} else {
		l.ok("ready", "%s is ready, version %s", p.address, p.report.Version)
	}
	for _, text := range p.report.Degraded {
		l.add(Warning, "degraded", fmt.Sprintf("%s: %s", p.address, text), "votes take another way than usual", "README, \"When parts fail\"")
	}
	for _, text := range p.report.Weak {
		l.add(Warning, "weak", fmt.Sprintf("%s: %s", p.address, text), "", "")
	}
	for _, one := range []struct {
		metric, what, mend string
		level              Level
		promises           []string
	}{
		{"littlevote_reconcile_postgres_differs", "counts in Postgres are not the sum of their ledger", "`littlevote fsck` names each row", Broken, []string{"G2", "G11"}},
		{"littlevote_ticket_overspent", "uses of tickets are beyond their caps", "`littlevote fsck` names each ticket", Broken, []string{"G4"}},
		{"littlevote_persister_partitions_halted", "partitions are halted", "`littlevote offsets show`", Broken, []string{"G1", "G11"}},
		{"littlevote_reconcile_drift_total", "counts in Redis were not what the ledger says, and were put right", "its log says which and when; `littlevote fsck`", Warning, []string{"G9", "G11"}},
	} {
		if n := p.sum(one.metric); n > 0 {
			l.add(one.level, one.metric, fmt.Sprintf("%s: %.0f %s", p.address, n, one.what), "", one.mend, one.promises...)
		}
	}
	if rounds := p.figures["littlevote_reconcile_rounds_total"]; rounds != nil {
		l.judgeReconciler(p, rounds)
	}
}

// judgeReconciler says how often it found everything well.
func (l *list) judgeReconciler(p process, rounds *dto.MetricFamily) {
	results := map[string]float64{}
	for _, m := range rounds.GetMetric() {
		for _, label := range m.GetLabel() {
			if label.GetName() == "result" {
				results[label.GetValue()] += value(m)
			}
		}
	}
	if results["verified"] == 0 && results["failed"] > 0 {
		l.add(Warning, "reconciler", fmt.Sprintf("the reconciler of %s has failed %.0f times and never got through", p.address, results["failed"]), "drift would not be noticed", "look at its log", "G11")
		return
	}
	l.ok("reconciler", "the reconciler of %s found everything well %.0f times", p.address, results["verified"])
}

// judgeVersions compares the processes with each other and with this program.
func (l *list) judgeVersions(all []process) {
	seen := map[string][]string{}
	for _, p := range all {
		seen[p.report.Version] = append(seen[p.report.Version], p.address)
	}
	if len(seen) > 1 {
		var parts []string
		for version, addresses := range seen {
			parts = append(parts, fmt.Sprintf("%q at %s", version, strings.Join(addresses, ", ")))
		}
		slices.Sort(parts)
		l.add(Warning, "versions", "processes are of several versions: "+strings.Join(parts, "; "), "an update is under way, or was left half done; what is new works when all have it", "update those that are left, or roll back", "G13")
		return
	}
	for version := range seen {
		if version != service.Version() {
			l.add(Note, "versions", fmt.Sprintf("the processes are of version %s, this doctor of %s", version, service.Version()), "it may know other rules than they do", "use theirs")
		}
	}
}
