package kubernetes

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// The admission of pods that the namespace asks for lets every pod in: by the very rules that a server has.
func TestPodsAreRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}
	each(t, func(t *testing.T, c *cluster) {
		enforced := ""
		for _, namespace := range c.namespaces {
			if namespace.Name == c.workloads[0].Namespace {
				enforced = namespace.Labels[podsecurity.EnforceLevelLabel]
			}
		}
		if enforced != string(podsecurity.LevelRestricted) {
			t.Errorf("the namespace enforces %q, want restricted", enforced)
		}
		for _, w := range c.workloads {
			pod := w.template
			for _, result := range evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec) {
				if !result.Allowed {
					t.Errorf("%s: %s: %s", w, result.ForbiddenReason, result.ForbiddenDetail)
				}
			}
			if mounts := pod.Spec.AutomountServiceAccountToken; mounts == nil || *mounts {
				t.Errorf("%s has a token of the cluster", w)
			}
			if links := pod.Spec.EnableServiceLinks; links == nil || *links {
				t.Errorf("%s gets the variables of every Service", w)
			}
		}
	})
}

// Our own programs write nothing, belong to no user that exists, and have their part of the machine.
func TestProgramsAreConfined(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		for _, w := range c.ours() {
			container := w.template.Spec.Containers[0]
			if read := container.SecurityContext.ReadOnlyRootFilesystem; read == nil || !*read {
				t.Errorf("%s may write to its image", w)
			}
			if uid := w.template.Spec.SecurityContext.RunAsUser; uid == nil || *uid < 10_000 {
				t.Errorf("%s has no number of its own", w)
			}
			limit, requested := container.Resources.Limits.Memory().Value(), container.Resources.Requests
			if limit == 0 || requested.Cpu().IsZero() || requested.Memory().IsZero() {
				t.Errorf("%s: wants a memory limit and requests, has %v", w, container.Resources)
			}
			var soft int64
			for _, env := range container.Env {
				if env.Name == "GOMEMLIMIT" {
					if _, err := fmt.Sscanf(env.Value, "%dMiB", &soft); err != nil {
						t.Fatal(err)
					}
				}
			}
			if soft <<= 20; w.kind != "Job" && (soft < limit*3/4 || soft > limit*95/100) {
				t.Errorf("%s: GOMEMLIMIT is %d, want a little less than its limit of %d", w, soft, limit)
			}
		}
	})
}

// drain is the longest that a program takes to stop: a vote-service's RPC port and then its engine (8 s and 6 s).
const drain = 14

// A pod that goes is out of every list before its program hears of it, and the program ends by itself.
func TestGraceCoversTheDrain(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		for _, w := range c.ours() {
			if w.kind == "Job" {
				continue
			}
			pod := w.template.Spec
			hook := pod.Containers[0].Lifecycle
			if hook == nil || hook.PreStop.Sleep == nil || pod.TerminationGracePeriodSeconds == nil {
				t.Errorf("%s does not wait until nobody comes", w)
				continue
			}
			if first, all := hook.PreStop.Sleep.Seconds, *pod.TerminationGracePeriodSeconds; first < 5 || all < first+drain+2 {
				t.Errorf("%s: killed after %d s, of which %d s before it is told; its drain takes %d s", w, all, first, drain)
			}
		}
	})
}

// Probes ask a port that is there, and liveness never hangs on a store.
func TestProbes(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		for _, w := range c.workloads {
			if w.kind == "Job" {
				continue
			}
			container := w.template.Spec.Containers[0]
			if container.ReadinessProbe == nil || container.LivenessProbe == nil {
				t.Errorf("%s lacks a probe", w)
			}
			for _, probe := range []*corev1.Probe{container.StartupProbe, container.ReadinessProbe, container.LivenessProbe} {
				switch {
				case probe == nil:
				case probe.HTTPGet != nil && containerPort(w, probe.HTTPGet.Port) == 0, probe.TCPSocket != nil && containerPort(w, probe.TCPSocket.Port) == 0:
					t.Errorf("%s: a probe asks a port that is not there", w)
				}
			}
		}
		for _, w := range c.ours() {
			if w.kind == "Job" {
				continue
			}
			container := w.template.Spec.Containers[0]
			if container.StartupProbe.HTTPGet.Path != "/readyz" || container.ReadinessProbe.HTTPGet.Path != "/readyz" {
				t.Errorf("%s: readiness is not what /readyz says", w)
			}
			if path := container.LivenessProbe.HTTPGet.Path; !strings.Contains("/livez /healthz /health", path) {
				t.Errorf("%s: liveness is what %s says", w, path)
			}
			if patience := container.StartupProbe.FailureThreshold * container.StartupProbe.PeriodSeconds; patience < 300 {
				t.Errorf("%s is restarted after %d s without its stores", w, patience)
			}
		}
	})
}
