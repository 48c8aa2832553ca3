package kubernetes

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// S49: what the published system has in its cluster is there, under its names.
func TestS49CastNames(t *testing.T) {
	c := load(t, "cast")
	if len(c.namespaces) != 1 || c.namespaces[0].Name != "cast" {
		t.Errorf("namespaces: %v", c.namespaces)
	}
	for _, want := range []struct {
		kind, name string
		replicas   int32
		program    string
	}{
		{"Deployment", "main-service", 2, "gateway"},
		{"Deployment", "ticket-generator", 1, "ticket-service"},
		{"Deployment", "vote-consumer", 2, "persister"},
		{"StatefulSet", "redis", 1, ""},
		{"StatefulSet", "postgres", 1, ""},
		{"StatefulSet", "kafka", 1, ""},
	} {
		w := c.named(t, want.name)
		if w.kind != want.kind || *w.replicas != want.replicas || program(w.template.Spec.Containers[0]) != want.program {
			t.Errorf("%s has %d replicas of %q, want %+v", w, *w.replicas, program(w.template.Spec.Containers[0]), want)
		}
		if w.Namespace != "cast" {
			t.Errorf("%s is in %s", w, w.Namespace)
		}
	}
	for _, want := range []struct {
		name           string
		port, nodePort int32
		headless       bool
	}{
		{"main-service", 80, 30000, false},
		{"ticket-generator", 8001, 0, false},
		{"kafka", 9092, 0, true},
		{"postgres", 5432, 0, true},
		{"redis", 6379, 0, false},
	} {
		s := c.service(want.name)
		if s == nil {
			t.Errorf("there is no Service %s", want.name)
			continue
		}
		port := s.Spec.Ports[0]
		if port.Port != want.port || port.NodePort != want.nodePort || (s.Spec.ClusterIP == corev1.ClusterIPNone) != want.headless {
			t.Errorf("Service %s: %+v, want %+v", s.Name, s.Spec, want)
		}
	}
	if len(c.ingresses) != 1 || len(c.configs) == 0 || len(c.secrets) == 0 {
		t.Errorf("%d ingresses, %d ConfigMaps, %d Secrets", len(c.ingresses), len(c.configs), len(c.secrets))
	}
}

// S49: its probes, and /graphql of port 30000 is in the words of its clients: the gateway's port for that dialect.
func TestS49CastProbesAndEndpoint(t *testing.T) {
	c := load(t, "cast")
	for name, path := range map[string]string{"main-service": "/healthz", "ticket-generator": "/health"} {
		if got := c.named(t, name).template.Spec.Containers[0].LivenessProbe.HTTPGet.Path; got != path {
			t.Errorf("%s is asked %s, want %s", name, got, path)
		}
	}
	main := c.named(t, "main-service")
	dialect := containerPort(main, c.service("main-service").Spec.Ports[0].TargetPort)
	var file struct {
		Gateway struct {
			CastListen string `json:"cast-listen"`
		} `json:"gateway"`
	}
	if err := yaml.Unmarshal([]byte(c.contents(volume(t, main, "settings"))["littlevote.yaml"]), &file); err != nil {
		t.Fatal(err)
	}
	if dialect != 8000 || file.Gateway.CastListen != ":8000" {
		t.Errorf("port 30000 leads to %d, the dialect listens on %q", dialect, file.Gateway.CastListen)
	}
	if !c.allowed(t, end{address: "203.0.113.7"}, inside(main), dialect, corev1.ProtocolTCP) {
		t.Error("voters don't get through")
	}
}

func volume(t *testing.T, w workload, name string) corev1.Volume {
	t.Helper()
	i := slices.IndexFunc(w.template.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == name })
	if i < 0 {
		t.Fatalf("%s has no volume %s", w, name)
	}
	return w.template.Spec.Volumes[i]
}

// S47: its check of the rows asks the pod postgres-0 of the namespace cast, as the user postgres, in the database cast.
func TestS47CastDatabase(t *testing.T) {
	c := load(t, "cast")
	for _, name := range []string{"vote-consumer", "vote-service"} {
		w := c.named(t, name)
		if got := c.contents(volume(t, w, "postgres"))["url"]; !strings.HasPrefix(got, "postgres://postgres:") || !strings.Contains(got, "@postgres:5432/cast?") {
			t.Errorf("%s writes to %s", name, got)
		}
	}
}

// S79: the doors, the consumers and the stores are workloads of their own, each with its own number of replicas; where many vote,
// each scales by its own load.
func TestS79PartsScaleIndependently(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		seen := map[string]string{}
		for _, w := range c.ours() {
			name := program(w.template.Spec.Containers[0])
			if other, twice := seen[name]; twice {
				t.Errorf("%s runs in %s and in %s", name, other, w)
			}
			seen[name] = w.String()
			if len(w.template.Spec.Containers) != 1 {
				t.Errorf("%s: %d containers scale together", w, len(w.template.Spec.Containers))
			}
		}
		scaled := map[string]bool{}
		for _, scaler := range c.scalers {
			if scaled[scaler.Spec.ScaleTargetRef.Name] {
				t.Errorf("two autoscalers of %s", scaler.Spec.ScaleTargetRef.Name)
			}
			scaled[scaler.Spec.ScaleTargetRef.Name] = true
		}
	})
	for _, name := range []string{"main-service", "vote-consumer", "redis", "postgres", "kafka"} {
		load(t, "cast").named(t, name)
	}
}

// Production's manifests say where secrets are, never what they are.
func TestProductionHoldsNoSecrets(t *testing.T) {
	for _, overlay := range []string{"prod", "prod-operators"} {
		c := load(t, overlay)
		for _, s := range c.secrets {
			t.Errorf("%s: Secret %s", overlay, s.Name)
		}
		for _, m := range c.configs {
			for file, text := range m.Data {
				for _, word := range []string{"password", "://", "PRIVATE KEY", "development"} {
					for line := range strings.Lines(text) {
						if strings.Contains(line, word) && !strings.Contains(line, "dns:///") && !strings.Contains(line, "endpoint: http://otel-collector") {
							t.Errorf("%s: %s of %s: %s", overlay, file, m.Name, line)
						}
					}
				}
			}
		}
		for _, w := range c.ours() {
			for _, env := range w.template.Spec.Containers[0].Env {
				if strings.Contains(env.Value, "://") {
					t.Errorf("%s: %s: %s", overlay, w, env.Name)
				}
			}
		}
	}
}

// With mutual TLS a process is what its certificate says: the kind that it runs, under the name that its callers use.
func TestCertificatesNameTheirKind(t *testing.T) {
	c := load(t, "prod-operators")
	issued := map[string]bool{}
	for _, cert := range c.certs {
		if cert.Spec.IsCA {
			continue
		}
		issued[cert.Spec.SecretName] = true
		if want := []string{"spiffe://littlevote/" + cert.Name}; !slices.Equal(cert.Spec.URIs, want) {
			t.Errorf("%s is %v, want %v", cert.Name, cert.Spec.URIs, want)
		}
		if s := c.service(cert.Name); s != nil && !slices.Contains(cert.Spec.DNSNames, s.Name) {
			t.Errorf("%s is not called %s in %v", cert.Name, s.Name, cert.Spec.DNSNames)
		}
		if !slices.ContainsFunc(c.issuers, func(i *certIssuer) bool {
			return i.Name == cert.Spec.IssuerRef.Name && i.Namespace == cert.Namespace
		}) {
			t.Errorf("%s: there is no Issuer %s", cert.Name, cert.Spec.IssuerRef.Name)
		}
	}
	for _, w := range c.ours() {
		if w.kind == "Job" {
			continue
		}
		secret := volume(t, w, "tls").Secret.SecretName
		if kind := program(w.template.Spec.Containers[0]); secret != kind+"-tls" || !issued[secret] {
			t.Errorf("%s shows the certificate in %s, issued: %v", w, secret, issued[secret])
		}
	}
}
