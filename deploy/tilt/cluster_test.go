package tilt

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.starlark.net/starlark"
	"sigs.k8s.io/yaml"
)

// workload is what the tests want to know of an object of Kubernetes.
type workload struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Template struct {
			Spec struct {
				Containers []struct {
					Image           string         `json:"image"`
					Command         []string       `json:"command"`
					SecurityContext map[string]any `json:"securityContext"`
				} `json:"containers"`
			} `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

func workloads(t *testing.T, f *tiltfile) map[string]workload {
	t.Helper()
	out := map[string]workload{}
	for _, stream := range f.yaml {
		for document := range strings.SplitSeq(stream, "\n---\n") {
			var w workload
			if err := yaml.Unmarshal([]byte(document), &w); err != nil {
				t.Fatal(err)
			}
			if slices.Contains([]string{"Deployment", "StatefulSet", "Job"}, w.Kind) {
				out[w.Metadata.Name] = w
			}
		}
	}
	return out
}

func inCluster(live bool) invocation {
	return invocation{subcommand: "up", context: "kind-kind", flags: map[string]starlark.Value{"live": starlark.Bool(live)}}
}

// Every workload is a resource of Tilt's, in order, and has an image that is built here or comes from elsewhere with its version.
func TestClusterMode(t *testing.T) {
	for _, live := range []bool{false, true} {
		f := mustExecute(t, inCluster(live))
		all, built := workloads(t, f), byName(f.images, "ref")
		resources := byName(f.k8s, "workload")
		for name, w := range all {
			if resources[name] == nil {
				t.Errorf("live %v: %s stands among the rest", live, name)
			}
			for _, container := range w.Spec.Template.Spec.Containers {
				// Tilt looks at the name alone, and puts a tag of its own behind it.
				ref, _, _ := strings.Cut(container.Image, ":")
				if elsewhere := strings.Contains(ref, "/"); elsewhere == (built[ref] != nil) {
					t.Errorf("live %v: nobody builds %s of %s, or somebody builds it for nothing", live, container.Image, name)
				}
			}
		}
		for name := range resources {
			if _, there := all[name]; !there {
				t.Errorf("live %v: there is no workload %s", live, name)
			}
		}
		for _, r := range f.local {
			resources[r.text("name")] = r
		}
		mustBeOrdered(t, resources)
		for _, image := range built {
			if live == (image.text("dockerfile") == "deploy/Dockerfile") {
				t.Errorf("live %v: %v", live, image)
			}
		}
	}
}

// A container whose program is replaced must let that happen, and must start the new one.
func TestLiveUpdate(t *testing.T) {
	f := mustExecute(t, inCluster(true))
	built, compiled := byName(f.images, "ref"), byName(f.local, "name")
	ours := 0
	for name, w := range workloads(t, f) {
		for _, container := range w.Spec.Template.Spec.Containers {
			program, own := strings.CutPrefix(container.Image, "littlevote-")
			if !own {
				continue
			}
			ours++
			folder := built[container.Image].text("context")
			if cmd := compiled["compile-"+program].texts("cmd"); !slices.Contains(cmd, filepath.Join(folder, program)) {
				t.Errorf("%s: %v compiles to another place than %s", name, cmd, folder)
			}
			steps := items(built[container.Image]["live_update"])
			if len(steps) != 2 || member(steps[0], "local_path") != starlark.String(folder) {
				t.Errorf("%s is updated by %v", name, steps)
			}
			again := container.Command[0] == "/bin/sh" && container.SecurityContext["readOnlyRootFilesystem"] == false
			if again == (w.Kind == "Job") || container.Command[len(container.Command)-1] == "/bin/sh" {
				t.Errorf("%s runs %v", name, container.Command)
			}
		}
	}
	if ours != 7 {
		t.Errorf("%d workloads run our programs, want six and the migration", ours)
	}
}
