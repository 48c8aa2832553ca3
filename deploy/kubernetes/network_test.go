package kubernetes

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// end is one end of a connection: a pod of the overlay, a pod of another namespace, or an address.
type end struct {
	pod       *workload
	namespace string
	address   string
}

func inside(w workload) end { return end{pod: &w} }

// allowed reports whether the network policies let a connection through, as the API documents them: where no policy selects a
// pod for a direction everything passes, else what one of them names.
func (c *cluster) allowed(t *testing.T, from, to end, port int32, protocol corev1.Protocol) bool {
	t.Helper()
	return c.passes(t, networkingv1.PolicyTypeEgress, from, to, port, protocol) &&
		c.passes(t, networkingv1.PolicyTypeIngress, to, from, port, protocol)
}

// passes looks at one end's policies.
func (c *cluster) passes(t *testing.T, direction networkingv1.PolicyType, own, other end, port int32, protocol corev1.Protocol) bool {
	t.Helper()
	if own.pod == nil {
		return true // not ours to guard
	}
	guarded := false
	for _, policy := range c.policies {
		if !slices.Contains(policy.Spec.PolicyTypes, direction) || !matches(t, &policy.Spec.PodSelector, own.pod.template.Labels) {
			continue
		}
		guarded = true
		if direction == networkingv1.PolicyTypeEgress {
			for _, rule := range policy.Spec.Egress {
				if peers(t, rule.To, other) && ports(rule.Ports, port, protocol, other.pod) {
					return true
				}
			}
			continue
		}
		for _, rule := range policy.Spec.Ingress {
			if peers(t, rule.From, other) && ports(rule.Ports, port, protocol, own.pod) {
				return true
			}
		}
	}
	return !guarded
}

func matches(t *testing.T, selector *metav1.LabelSelector, set map[string]string) bool {
	t.Helper()
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Matches(labels.Set(set))
}

// peers reports whether one of the peers is the other end; none named is everybody.
func peers(t *testing.T, named []networkingv1.NetworkPolicyPeer, other end) bool {
	t.Helper()
	return len(named) == 0 || slices.ContainsFunc(named, func(peer networkingv1.NetworkPolicyPeer) bool {
		switch {
		case peer.IPBlock != nil:
			return other.address != "" && within(t, peer.IPBlock, other.address)
		case peer.NamespaceSelector != nil && other.namespace != "":
			return matches(t, peer.NamespaceSelector, map[string]string{corev1.LabelMetadataName: other.namespace})
		case peer.NamespaceSelector == nil && other.pod != nil:
			return matches(t, peer.PodSelector, other.pod.template.Labels)
		default:
			return false
		}
	})
}

func within(t *testing.T, block *networkingv1.IPBlock, address string) bool {
	t.Helper()
	contains := func(cidr string) bool {
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			t.Fatal(err)
		}
		return prefix.Contains(netip.MustParseAddr(address))
	}
	return contains(block.CIDR) && !slices.ContainsFunc(block.Except, contains)
}

// ports reports whether one of the ports is meant; names are those of the pod that listens.
func ports(named []networkingv1.NetworkPolicyPort, port int32, protocol corev1.Protocol, listener *workload) bool {
	return len(named) == 0 || slices.ContainsFunc(named, func(p networkingv1.NetworkPolicyPort) bool {
		number := p.Port.IntVal
		if p.Port.Type == intstr.String {
			number = 0
			if listener != nil {
				number = containerPort(*listener, *p.Port)
			}
		}
		return number == port && *p.Protocol == protocol
	})
}

// Whatever a program's settings name it can reach: by a Service that is there, through the policies of both ends.
func TestProgramsReachWhatTheirSettingsName(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		for _, w := range c.ours() {
			got := loadSettings(t, c, w)
			addresses := slices.Clone(got.stores)
			for _, target := range got.targets {
				addresses = append(addresses, strings.TrimPrefix(target, "dns:///"))
			}
			if got.trace != "" {
				addresses = append(addresses, strings.TrimPrefix(got.trace, "http://"))
			}
			for _, address := range addresses {
				to, port := c.resolve(t, address)
				if !c.allowed(t, inside(w), to, port, corev1.ProtocolTCP) {
					t.Errorf("%s may not reach %s", w, address)
				}
			}
			if !c.allowed(t, inside(w), end{namespace: "kube-system"}, 53, corev1.ProtocolUDP) {
				t.Errorf("%s can't look up names", w)
			}
		}
	})
}

// resolve follows a name as a pod would: a Service of the namespace, one of another, or a host outside.
func (c *cluster) resolve(t *testing.T, address string) (end, int32) {
	t.Helper()
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	name, namespace, dotted := strings.Cut(host, ".")
	if dotted && namespace == "monitoring" {
		return end{namespace: namespace}, int32(port)
	}
	if dotted {
		return end{address: "10.1.2.3"}, int32(port) // a store of production, wherever it is
	}
	s := c.service(name)
	if s == nil {
		t.Fatalf("there is no Service %s", name)
	}
	for _, p := range s.Spec.Ports {
		if int64(p.Port) == port {
			pods := c.behind(t, s)
			return inside(pods), containerPort(pods, p.TargetPort)
		}
	}
	t.Fatalf("Service %s has no port %d", name, port)
	return end{}, 0
}

// What no setting names is refused.
func TestPoliciesRefuse(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		by := map[string]workload{}
		for _, w := range c.ours() {
			by[program(w.template.Spec.Containers[0])] = w
		}
		voter, other := end{address: "203.0.113.7"}, end{namespace: "default"}
		for name, w := range by {
			for _, p := range w.template.Spec.Containers[0].Ports {
				if door := p.Name == "http" || p.Name == "cast"; !door {
					for _, from := range []end{voter, other} {
						if c.allowed(t, from, inside(w), p.ContainerPort, corev1.ProtocolTCP) {
							t.Errorf("strangers reach the port %s of %s", p.Name, name)
						}
					}
				}
				if p.Name != "admin" {
					continue
				}
				if !c.allowed(t, end{namespace: "monitoring"}, inside(w), p.ContainerPort, corev1.ProtocolTCP) {
					t.Errorf("the monitoring does not reach %s", name)
				}
				for _, from := range by {
					if c.allowed(t, inside(from), inside(w), p.ContainerPort, corev1.ProtocolTCP) {
						t.Errorf("%s reaches the admin port of %s", from, name)
					}
				}
			}
		}
		for _, refused := range []struct{ from, to, port string }{
			{"persister", "vote-service", "grpc"}, {"query-service", "vote-service", "grpc"}, {"ticket-service", "vote-service", "grpc"},
			{"vote-service", "ticket-service", "grpc"}, {"vote-service", "gateway", "http"}, {"blog-service", "ticket-service", "grpc"},
			{"vote-service", "blog-service", "grpc"}, {"littlevote", "vote-service", "grpc"},
		} {
			to := by[refused.to]
			port := containerPort(to, intstr.FromString(refused.port))
			if c.allowed(t, inside(by[refused.from]), inside(to), port, corev1.ProtocolTCP) {
				t.Errorf("%s reaches %s", refused.from, refused.to)
			}
		}
		if c.allowed(t, inside(by["gateway"]), end{address: "10.1.2.3"}, 5432, corev1.ProtocolTCP) {
			t.Error("the gateway reaches a Postgres")
		}
		if c.allowed(t, inside(by["vote-service"]), end{address: "169.254.169.254"}, 80, corev1.ProtocolTCP) {
			t.Error("the vote-service reaches the cloud's metadata")
		}
		// The stores that are inside are for the programs.
		for _, w := range c.workloads {
			for _, p := range w.template.Spec.Containers[0].Ports {
				if program(w.template.Spec.Containers[0]) == "" && c.allowed(t, other, inside(w), p.ContainerPort, corev1.ProtocolTCP) {
					t.Errorf("strangers reach %s", w)
				}
			}
		}
	})
}
