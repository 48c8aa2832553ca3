package kubernetes

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// brought are the Secrets that production's operator brings, and what must be in them.
var brought = map[string][]string{
	"littlevote-redis":       {"url"},
	"littlevote-postgres":    {"url", "replica-url"},
	"littlevote-ticket-keys": {"keys"},
	"littlevote-result-key":  {"sign.pem"},
	"gateway-tls":            tlsKeys, "ticket-service-tls": tlsKeys, "vote-service-tls": tlsKeys,
	"query-service-tls": tlsKeys, "blog-service-tls": tlsKeys, "persister-tls": tlsKeys,
}

var tlsKeys = []string{"tls.crt", "tls.key", "ca.crt"}

// keys are the names in a Secret that the overlay makes or counts on; nil: there is no such Secret.
func (c *cluster) secretKeys(name string) []string {
	if secret := c.secret(name); secret != nil {
		var keys []string
		for key := range secret.Data {
			keys = append(keys, key)
		}
		return keys
	}
	if c.overlay == "prod" || c.overlay == "prod-operators" {
		return brought[name]
	}
	return nil
}

// A selector that misses its own pods is refused by the server; one that catches another's pods is taken, and is worse.
func TestSelectors(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		for _, w := range c.workloads {
			if w.selector != nil && !slices.Equal(c.selected(t, w.selector), []string{w.String()}) {
				t.Errorf("%s selects the pods of %v", w, c.selected(t, w.selector))
			}
			for _, spread := range w.template.Spec.TopologySpreadConstraints {
				if got := c.selected(t, spread.LabelSelector); !slices.Equal(got, []string{w.String()}) {
					t.Errorf("%s spreads by the pods of %v", w, got)
				}
			}
		}
		for _, b := range c.budgets {
			got := c.selected(t, b.Spec.Selector)
			if len(got) != 1 {
				t.Errorf("PodDisruptionBudget %s is about the pods of %v, want one workload", b.Name, got)
			}
		}
		for _, s := range c.services {
			if got := c.selected(t, &metav1.LabelSelector{MatchLabels: s.Spec.Selector}); len(got) != 1 {
				t.Errorf("Service %s finds the pods of %v, want one workload", s.Name, got)
			}
		}
	})
}

// selected are the workloads whose pods a selector matches.
func (c *cluster) selected(t *testing.T, selector *metav1.LabelSelector) []string {
	t.Helper()
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, w := range c.workloads {
		if parsed.Matches(labels.Set(w.template.Labels)) {
			out = append(out, w.String())
		}
	}
	return out
}

// Each port that a Service or an Ingress names is there, and each StatefulSet's Service too.
func TestPorts(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		for _, s := range c.services {
			pods := c.behind(t, s)
			for _, port := range s.Spec.Ports {
				if containerPort(pods, port.TargetPort) == 0 {
					t.Errorf("Service %s: the pods have no port %s", s.Name, port.TargetPort.String())
				}
				headless := s.Spec.ClusterIP == corev1.ClusterIPNone
				if target := containerPort(pods, port.TargetPort); headless && target != port.Port {
					t.Errorf("Service %s is headless, so its port %d must be the container's, %d", s.Name, port.Port, target)
				}
			}
		}
		for _, w := range c.workloads {
			if w.stateful != nil && c.service(w.stateful.ServiceName) == nil {
				t.Errorf("%s: there is no Service %s", w, w.stateful.ServiceName)
			}
		}
		for _, ingress := range c.ingresses {
			for _, rule := range ingress.Spec.Rules {
				for _, path := range rule.HTTP.Paths {
					backend := path.Backend.Service
					s := c.service(backend.Name)
					if s == nil || !slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == backend.Port.Name }) {
						t.Errorf("Ingress %s leads to the port %s of %s, which is not there", ingress.Name, backend.Port.Name, backend.Name)
					}
				}
			}
		}
	})
}

// behind is the workload that a Service leads to.
func (c *cluster) behind(t *testing.T, s *corev1.Service) workload {
	t.Helper()
	for _, w := range c.workloads {
		if labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(w.template.Labels)) {
			return w
		}
	}
	t.Fatalf("Service %s leads nowhere", s.Name)
	return workload{}
}

// containerPort finds a port by its name or number; 0: there is none.
func containerPort(w workload, port intstr.IntOrString) int32 {
	for _, container := range w.template.Spec.Containers {
		for _, p := range container.Ports {
			if p.Name == port.StrVal && port.Type == intstr.String || p.ContainerPort == port.IntVal && port.Type == intstr.Int {
				return p.ContainerPort
			}
		}
	}
	return 0
}

// What a pod mounts, or takes its variables from, is there; otherwise it would wait for ever.
func TestReferences(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		for _, w := range c.workloads {
			pod := w.template.Spec
			if name := pod.ServiceAccountName; name != "" && !slices.ContainsFunc(c.accounts, func(a *corev1.ServiceAccount) bool { return a.Name == name }) {
				t.Errorf("%s: there is no ServiceAccount %s", w, name)
			}
			volumes := map[string]bool{}
			if w.stateful != nil {
				for _, claim := range w.stateful.VolumeClaimTemplates {
					volumes[claim.Name] = true
				}
			}
			for _, volume := range pod.Volumes {
				volumes[volume.Name] = true
				c.checkVolume(t, w, volume)
			}
			for _, container := range append(slices.Clone(pod.InitContainers), pod.Containers...) {
				mounted := map[string]bool{}
				for _, mount := range container.VolumeMounts {
					if !volumes[mount.Name] || mounted[mount.MountPath] {
						t.Errorf("%s: %s at %s: no such volume, or a second one there", w, mount.Name, mount.MountPath)
					}
					mounted[mount.MountPath] = true
				}
				for _, env := range container.Env {
					if env.ValueFrom == nil || env.ValueFrom.SecretKeyRef == nil {
						continue
					}
					if ref := env.ValueFrom.SecretKeyRef; !slices.Contains(c.secretKeys(ref.Name), ref.Key) {
						t.Errorf("%s: %s: there is no %s in the Secret %s", w, env.Name, ref.Key, ref.Name)
					}
				}
			}
		}
	})
}

func (c *cluster) checkVolume(t *testing.T, w workload, volume corev1.Volume) {
	t.Helper()
	var have []string
	var items []corev1.KeyToPath
	switch {
	case volume.EmptyDir != nil:
		return
	case volume.Secret != nil:
		have, items = c.secretKeys(volume.Secret.SecretName), volume.Secret.Items
	case volume.ConfigMap != nil:
		items = volume.ConfigMap.Items
		if config := c.config(volume.ConfigMap.Name); config != nil {
			for key := range config.Data {
				have = append(have, key)
			}
		}
	default:
		t.Errorf("%s: volume %s is of a kind that no test knows", w, volume.Name)
	}
	if have == nil {
		t.Errorf("%s: what volume %s mounts is not there", w, volume.Name)
	}
	for _, item := range items {
		if !slices.Contains(have, item.Key) {
			t.Errorf("%s: volume %s: there is no %s", w, volume.Name, item.Key)
		}
	}
}
