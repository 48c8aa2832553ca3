package deploy

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// tools are what the script takes from every machine.
var tools = []string{"bash", "cat", "date", "dirname", "git", "mktemp", "rm"}

// stub is a program that writes down how it was called, and answers as the real one would.
const stub = `#!/usr/bin/env bash
printf '%s %s\n' "${0##*/}" "$*" >>"$CALLS"
case "${0##*/} $*" in
  "kubectl config current-context") [ -n "$CONTEXT" ] || exit 1; echo "$CONTEXT" ;;
  "kubectl kustomize "*) cat "$2/kustomization.yaml" ;;
  *"apply --filename -") cat >"$APPLIED" ;;
  *"--output name"*) printf 'deployment.apps/main-service\nstatefulset.apps/redis\n' ;;
  *"get nodes"*) printf 10.0.0.9 ;;
  *"rollout status $FAILS"*) [ -z "$FAILS" ] || exit 1 ;;
  "docker info") [ -z "$NO_DAEMON" ] || exit 1 ;;
esac
`

// result is what a run of the script did.
type result struct {
	code    int
	output  string
	calls   string
	applied string
}

// deploy runs the script on a machine that has the programs named, and nothing else.
func deploy(t *testing.T, programs []string, environ []string, args ...string) result {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tool := range append(tools, "env") {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	for _, program := range programs {
		if err := os.WriteFile(filepath.Join(bin, program), []byte(stub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "./build-and-deploy.sh", args...)
	calls, applied := filepath.Join(dir, "calls"), filepath.Join(dir, "applied")
	cmd.Env = append([]string{
		"PATH=" + bin, "HOME=" + dir, "CALLS=" + calls, "APPLIED=" + applied, "CONTEXT=kind-try", "FAILS=", "NO_DAEMON=",
	}, environ...)
	output, err := cmd.CombinedOutput()
	out := result{output: string(output), calls: read(t, calls), applied: read(t, applied)}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		out.code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return out
}

// read is a file's content; none: it is not there.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(text)
}

var everything = []string{"docker", "kubectl", "kind", "minikube"}

// inOrder fails unless the calls were made in this order, others in between or not.
func inOrder(t *testing.T, r result, calls ...string) {
	t.Helper()
	rest := r.calls
	for _, call := range calls {
		_, after, found := strings.Cut(rest, call)
		if !found {
			t.Fatalf("no %q after the calls before it; all calls:\n%s\noutput:\n%s", call, r.calls, r.output)
		}
		rest = after
	}
}

// S49: one command builds, loads, applies, and says where it is.
func TestS49ScriptDeploys(t *testing.T) {
	r := deploy(t, everything, nil, "--tag", "v1")
	if r.code != 0 || !strings.Contains(r.output, "http://10.0.0.9:30000/graphql") {
		t.Errorf("exit code %d\n%s", r.code, r.output)
	}
	inOrder(t, r,
		"docker buildx build", "--load",
		"kind load docker-image littlevote:v1 --name try",
		"kubectl kustomize",
		"kubectl --context kind-try delete job migrate --namespace cast --ignore-not-found",
		"kubectl --context kind-try apply --filename -",
		"rollout status deployment.apps/main-service", "rollout status statefulset.apps/redis",
		"wait job/migrate",
	)
	var made struct {
		Resources []string
		Images    []map[string]string
	}
	if err := yaml.Unmarshal([]byte(r.applied), &made); err != nil {
		t.Fatal(err)
	}
	if len(made.Resources) != 1 || made.Resources[0] != "../cast" || made.Images[0]["newName"] != "littlevote" || made.Images[0]["newTag"] != "v1" {
		t.Errorf("applied:\n%s", r.applied)
	}
	left, err := filepath.Glob("kubernetes/overlays/.deploy.*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// S49: --clean takes everything away, and builds nothing.
func TestS49ScriptCleans(t *testing.T) {
	r := deploy(t, []string{"kubectl"}, nil, "--clean")
	if r.code != 0 || !strings.Contains(r.calls, "kubectl --context kind-try delete --ignore-not-found --wait --kustomize") ||
		!strings.Contains(r.calls, "overlays/cast") || strings.Contains(r.calls, "apply") {
		t.Errorf("exit code %d\n%s\n%s", r.code, r.calls, r.output)
	}
}

// S79: a CI deploys with it: no question is asked, the registry takes the image with what it is made of, and a failure is one.
func TestS79ScriptDeploysFromCI(t *testing.T) {
	remote := []string{"CONTEXT=production"}
	r := deploy(t, everything, remote, "--overlay", "prod", "--remote", "--registry", "registry.example/votes/", "--tag", "v2")
	if r.code != 0 {
		t.Errorf("exit code %d\n%s", r.code, r.output)
	}
	inOrder(t, r, "docker buildx build", "--tag registry.example/votes/littlevote:v2", "--sbom=true --provenance=mode=max --push", "--context production apply")
	if strings.Contains(r.calls, "kind load") {
		t.Errorf("loaded into kind:\n%s", r.calls)
	}
	r = deploy(t, everything, append(remote, "FAILS=statefulset.apps/redis"), "--remote", "--no-build", "--tag", "v2")
	if r.code == 0 || !strings.Contains(r.output, "statefulset.apps/redis did not come up") || strings.Contains(r.calls, "docker") {
		t.Errorf("exit code %d after a roll-out that failed\n%s", r.code, r.output)
	}
}

func TestScriptRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		programs, environ, args []string
		code                    int
		want                    string
	}{
		"without kubectl":             {[]string{"docker"}, nil, nil, 1, "kubectl is missing"},
		"without docker":              {[]string{"kubectl"}, nil, nil, 1, "docker is missing"},
		"without kind":                {[]string{"kubectl", "docker"}, nil, nil, 1, "kind is missing"},
		"docker that does not run":    {everything, []string{"NO_DAEMON=1"}, nil, 1, "docker does not answer"},
		"no context":                  {everything, []string{"CONTEXT="}, nil, 1, "no current context"},
		"a cluster that is elsewhere": {everything, []string{"CONTEXT=production"}, nil, 1, "--remote"},
		"to clean one elsewhere":      {everything, []string{"CONTEXT=production"}, []string{"--clean"}, 1, "--remote"},
		"elsewhere, no registry":      {everything, []string{"CONTEXT=production"}, []string{"--remote"}, 1, "--registry"},
		"an unknown overlay":          {everything, nil, []string{"--overlay", "../x"}, 2, "no overlay"},
		"an unknown option":           {everything, nil, []string{"--force"}, 2, "unknown option"},
		"an option without its value": {everything, nil, []string{"--tag"}, 2, "needs a value"},
		"no image and none built":     {everything, nil, []string{"--no-build"}, 2, "needs --tag"},
	} {
		t.Run(name, func(t *testing.T) {
			r := deploy(t, test.programs, test.environ, test.args...)
			if r.code != test.code || !strings.Contains(r.output, test.want) {
				t.Errorf("exit code %d, want %d and %q\n%s", r.code, test.code, test.want, r.output)
			}
			if strings.Contains(r.calls, "apply") || strings.Contains(r.calls, "delete") {
				t.Errorf("it went on:\n%s", r.calls)
			}
		})
	}
}

func TestScriptDryRunChangesNothing(t *testing.T) {
	for _, args := range [][]string{{"--dry-run", "--tag", "v1"}, {"--dry-run", "--clean"}} {
		r := deploy(t, everything, nil, args...)
		if r.code != 0 || !strings.Contains(r.output, "+ ") {
			t.Errorf("%v: exit code %d\n%s", args, r.code, r.output)
		}
		for line := range strings.Lines(r.calls) {
			if !strings.Contains(line, "current-context") && !strings.HasPrefix(line, "kubectl kustomize") {
				t.Errorf("%v: called %s", args, line)
			}
		}
	}
}
