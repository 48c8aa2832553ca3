package kubernetes

import (
	"slices"
	"strings"
	"sync"
	"testing"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// overlays are what is deployed.
var overlays = []string{"dev", "cast", "prod", "prod-operators"}

// cluster is what an overlay makes.
type cluster struct {
	overlay    string
	workloads  []workload
	services   []*corev1.Service
	configs    []*corev1.ConfigMap
	secrets    []*corev1.Secret
	accounts   []*corev1.ServiceAccount
	namespaces []*corev1.Namespace
	budgets    []*policyv1.PodDisruptionBudget
	scalers    []*autoscalingv2.HorizontalPodAutoscaler
	ingresses  []*networkingv1.Ingress
	policies   []*networkingv1.NetworkPolicy
	certs      []*certmanager.Certificate
	issuers    []*certIssuer
}

// certIssuer is one of cert-manager.
type certIssuer = certmanager.Issuer

// workload is whatever makes pods.
type workload struct {
	metav1.ObjectMeta
	kind     string
	replicas *int32
	selector *metav1.LabelSelector // nil for a Job
	template corev1.PodTemplateSpec
	stateful *appsv1.StatefulSetSpec // nil unless it is one
}

func (w workload) String() string { return w.kind + " " + w.Name }

// load builds an overlay once for all tests, as kubectl does it, and decodes every object strictly: a field that the API does not
// have, or has twice, is an error.
func load(t *testing.T, overlay string) *cluster {
	t.Helper()
	c, err := built(overlay)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var once sync.Map // of func() (*cluster, error), by overlay

func built(overlay string) (*cluster, error) {
	result, _ := once.LoadOrStore(overlay, sync.OnceValues(func() (*cluster, error) { return build(overlay) }))
	return result.(func() (*cluster, error))()
}

func build(overlay string) (*cluster, error) {
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionUnspecified
	resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), "overlays/"+overlay)
	if err != nil {
		return nil, err
	}
	strict, err := decoder()
	if err != nil {
		return nil, err
	}
	c := &cluster{overlay: overlay}
	for _, resource := range resources.Resources() {
		text, err := resource.AsYAML()
		if err != nil {
			return nil, err
		}
		if foreign := foreignType(resource.GetApiVersion(), resource.GetKind()); foreign != nil {
			if err := yaml.UnmarshalStrict(text, foreign); err != nil {
				return nil, &objectError{resource.GetKind() + " " + resource.GetName(), err}
			}
			continue
		}
		object, _, err := strict.Decode(text, nil, nil)
		if err != nil {
			return nil, &objectError{resource.GetKind() + " " + resource.GetName(), err}
		}
		if err := c.add(object); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// objectError says which object is wrong.
type objectError struct {
	object string
	err    error
}

func (e *objectError) Error() string { return e.object + ": " + e.err.Error() }

// decoder knows the API of Kubernetes, and of cert-manager.
func decoder() (runtime.Decoder, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientscheme.AddToScheme, certmanager.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer(), nil
}

func (c *cluster) add(object runtime.Object) error {
	switch o := object.(type) {
	case *appsv1.Deployment:
		c.workloads = append(c.workloads, workload{o.ObjectMeta, "Deployment", o.Spec.Replicas, o.Spec.Selector, o.Spec.Template, nil})
	case *appsv1.StatefulSet:
		c.workloads = append(c.workloads, workload{o.ObjectMeta, "StatefulSet", o.Spec.Replicas, o.Spec.Selector, o.Spec.Template, &o.Spec})
	case *batchv1.Job:
		c.workloads = append(c.workloads, workload{o.ObjectMeta, "Job", o.Spec.Parallelism, nil, o.Spec.Template, nil})
	case *corev1.Service:
		c.services = append(c.services, o)
	case *corev1.ConfigMap:
		c.configs = append(c.configs, o)
	case *corev1.Secret:
		c.secrets = append(c.secrets, o)
	case *corev1.ServiceAccount:
		c.accounts = append(c.accounts, o)
	case *corev1.Namespace:
		c.namespaces = append(c.namespaces, o)
	case *policyv1.PodDisruptionBudget:
		c.budgets = append(c.budgets, o)
	case *autoscalingv2.HorizontalPodAutoscaler:
		c.scalers = append(c.scalers, o)
	case *networkingv1.Ingress:
		c.ingresses = append(c.ingresses, o)
	case *networkingv1.NetworkPolicy:
		c.policies = append(c.policies, o)
	case *certmanager.Certificate:
		c.certs = append(c.certs, o)
	case *certmanager.Issuer:
		c.issuers = append(c.issuers, o)
	default:
		return &objectError{object.GetObjectKind().GroupVersionKind().String(), errUnchecked}
	}
	return nil
}

// ours are the workloads that run programs of Little Vote.
func (c *cluster) ours() []workload {
	return slices.DeleteFunc(slices.Clone(c.workloads), func(w workload) bool { return program(w.template.Spec.Containers[0]) == "" })
}

// program is which of ours a container runs, or nothing.
func program(container corev1.Container) string {
	if len(container.Command) == 0 {
		return ""
	}
	name, ours := strings.CutPrefix(container.Command[0], "/usr/local/bin/")
	if !ours {
		return ""
	}
	return name
}

// named finds the workload with a name.
func (c *cluster) named(t *testing.T, name string) workload {
	t.Helper()
	i := slices.IndexFunc(c.workloads, func(w workload) bool { return w.Name == name })
	if i < 0 {
		t.Fatalf("%s: there is no workload %s", c.overlay, name)
	}
	return c.workloads[i]
}

// service finds the Service with a name, or returns nil.
func (c *cluster) service(name string) *corev1.Service {
	for _, s := range c.services {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// secret finds the Secret with a name, or returns nil.
func (c *cluster) secret(name string) *corev1.Secret {
	for _, s := range c.secrets {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// config finds the ConfigMap with a name, or returns nil.
func (c *cluster) config(name string) *corev1.ConfigMap {
	for _, m := range c.configs {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// each runs a check on every overlay.
func each(t *testing.T, check func(t *testing.T, c *cluster)) {
	for _, overlay := range overlays {
		t.Run(overlay, func(t *testing.T) { check(t, load(t, overlay)) })
	}
}
