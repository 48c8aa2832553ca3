package tilt

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// invocation is how Tilt is started.
type invocation struct {
	subcommand string
	flags      map[string]starlark.Value // those that the Tiltfile defines
	context    string                    // of Kubernetes
}

// call is one call of a function of Tilt's, with every argument by its name.
type call map[string]starlark.Value

// tiltfile is what the Tiltfile asks Tilt for.
type tiltfile struct {
	root     string
	defined  []string
	local    []call
	images   []call
	k8s      []call
	yaml     []string
	settings []call // of ci
}

// signatures are the arguments that Tilt's functions take; those with a question mark may be left out.
var signatures = map[string][]string{
	"config.define_bool":   {"name", "args?", "usage?"},
	"config.define_string": {"name", "args?", "usage?"},
	"config.parse":         {},
	"local_resource": {
		"name", "cmd?", "deps?", "trigger_mode?", "resource_deps?", "ignore?", "auto_init?", "serve_cmd?", "cmd_bat?", "serve_cmd_bat?",
		"allow_parallel?", "links?", "labels?", "env?", "serve_env?", "readiness_probe?", "dir?", "serve_dir?",
	},
	"probe":           {"initial_delay_secs?", "timeout_secs?", "period_secs?", "success_threshold?", "failure_threshold?", "exec?", "http_get?", "tcp_socket?"},
	"exec_action":     {"command"},
	"http_get_action": {"port", "host?", "scheme?", "path?"},
	"link":            {"url", "name?"},
	"ci_settings":     {"k8s_grace_period?", "timeout?", "readiness_timeout?"},
	"k8s_context":     {},
	"kustomize":       {"pathToDir", "kustomize_bin?", "flags?"},
	"k8s_yaml":        {"yaml", "allow_duplicates?"},
	"k8s_resource": {
		"workload?", "new_name?", "port_forwards?", "extra_pod_selectors?", "trigger_mode?", "resource_deps?", "objects?", "auto_init?",
		"pod_readiness?", "links?", "labels?", "discovery_strategy?",
	},
	"port_forward": {"local_port", "container_port?", "name?", "link_path?", "host?"},
	"docker_build": {
		"ref", "context", "build_args?", "dockerfile?", "dockerfile_contents?", "cache?", "live_update?", "match_in_env_vars?", "ignore?", "only?",
		"entrypoint?", "container_args?", "target?", "ssh?", "network?", "secret?", "extra_tag?", "cache_from?", "pull?", "platform?", "extra_hosts?",
	},
	"sync":               {"local_path", "remote_path"},
	"run":                {"cmd", "trigger?", "echo_off?"},
	"local":              {"command", "quiet?", "command_bat?", "echo_off?", "env?", "dir?", "stdin?"},
	"decode_yaml_stream": {"yaml"},
	"encode_yaml_stream": {"objs"},
}

// execute runs the Tiltfile.
func execute(t *testing.T, how invocation) (*tiltfile, error) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	f := &tiltfile{root: root}
	groups := map[string]starlark.StringDict{"": {}, "config": {
		"tilt_subcommand": starlark.String(how.subcommand), "main_dir": starlark.String(root),
	}}
	for name := range signatures {
		group, member, nested := strings.Cut(name, ".")
		if !nested {
			group, member = "", name
		}
		groups[group][member] = starlark.NewBuiltin(name, func(_ *starlark.Thread, fn *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			given, err := unpack(fn.Name(), args, kwargs)
			if err != nil {
				return nil, err
			}
			return f.answer(fn.Name(), given, how)
		})
	}
	predeclared := groups[""]
	predeclared["config"] = starlarkstruct.FromStringDict(starlark.String("config"), groups["config"])
	predeclared["struct"] = starlark.NewBuiltin("struct", starlarkstruct.Make)
	predeclared["TRIGGER_MODE_MANUAL"] = starlark.String("manual")
	thread := &starlark.Thread{Name: "Tiltfile"}
	options := &syntax.FileOptions{Set: true, GlobalReassign: true, TopLevelControl: true}
	_, err = starlark.ExecFileOptions(options, thread, filepath.Join(root, "Tiltfile"), nil, predeclared)
	return f, err
}

// unpack names the arguments, and refuses those that Tilt does not know.
func unpack(name string, args starlark.Tuple, kwargs []starlark.Tuple) (call, error) {
	values := make([]starlark.Value, len(signatures[name]))
	pairs := make([]any, 0, 2*len(values))
	for i, parameter := range signatures[name] {
		pairs = append(pairs, parameter, &values[i])
	}
	if err := starlark.UnpackArgs(name, args, kwargs, pairs...); err != nil {
		return nil, err
	}
	given := call{"": starlark.String(name)}
	for i, parameter := range signatures[name] {
		if values[i] != nil {
			given[strings.TrimSuffix(parameter, "?")] = values[i]
		}
	}
	return given, nil
}

// answer is what Tilt would answer to a call, which is kept.
func (f *tiltfile) answer(name string, given call, how invocation) (starlark.Value, error) {
	switch name {
	case "config.define_bool", "config.define_string":
		f.defined = append(f.defined, given.text("name"))
	case "config.parse":
		return f.parse(how)
	case "local_resource":
		f.local = append(f.local, given)
	case "docker_build":
		f.images = append(f.images, given)
	case "k8s_resource":
		f.k8s = append(f.k8s, given)
	case "k8s_yaml":
		f.yaml = append(f.yaml, given.text("yaml"))
	case "ci_settings":
		f.settings = append(f.settings, given)
	case "k8s_context":
		return starlark.String(how.context), nil
	case "kustomize":
		return f.kustomize(given.text("pathToDir"))
	case "decode_yaml_stream":
		return decode(given.text("yaml"))
	case "encode_yaml_stream":
		return encode(given["objs"])
	case "probe", "exec_action", "http_get_action", "link", "port_forward", "sync", "run":
		members := starlark.StringDict{"kind": starlark.String(name)}
		for parameter, value := range given {
			if parameter != "" {
				members[parameter] = value
			}
		}
		return starlarkstruct.FromStringDict(starlark.String(name), members), nil
	}
	return starlark.None, nil
}

func (f *tiltfile) parse(how invocation) (starlark.Value, error) {
	settings := starlark.NewDict(len(how.flags))
	for name, value := range how.flags {
		if !slices.Contains(f.defined, name) {
			return nil, fmt.Errorf("unknown flag --%s", name)
		}
		if err := settings.SetKey(starlark.String(name), value); err != nil {
			return nil, err
		}
	}
	return settings, nil
}

func (f *tiltfile) kustomize(dir string) (starlark.Value, error) {
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(f.root, dir))
	if err != nil {
		return nil, err
	}
	text, err := resources.AsYaml()
	return starlark.String(text), err
}

func decode(stream string) (starlark.Value, error) {
	var objects []starlark.Value
	for document := range strings.SplitSeq(stream, "\n---\n") {
		var object any
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			return nil, err
		}
		value, err := toStarlark(object)
		if err != nil {
			return nil, err
		}
		objects = append(objects, value)
	}
	return starlark.NewList(objects), nil
}

func encode(objects starlark.Value) (starlark.Value, error) {
	var documents []string
	for _, object := range items(objects) {
		text, err := yaml.Marshal(fromStarlark(object))
		if err != nil {
			return nil, err
		}
		documents = append(documents, string(text))
	}
	return starlark.String(strings.Join(documents, "---\n")), nil
}

func toStarlark(value any) (starlark.Value, error) {
	switch v := value.(type) {
	case nil:
		return starlark.None, nil
	case bool:
		return starlark.Bool(v), nil
	case float64:
		if v == float64(int64(v)) {
			return starlark.MakeInt64(int64(v)), nil
		}
		return starlark.Float(v), nil
	case string:
		return starlark.String(v), nil
	case []any:
		list := starlark.NewList(nil)
		for _, item := range v {
			converted, err := toStarlark(item)
			if err != nil {
				return nil, err
			}
			if err := list.Append(converted); err != nil {
				return nil, err
			}
		}
		return list, nil
	case map[string]any:
		dict := starlark.NewDict(len(v))
		for key, item := range v {
			converted, err := toStarlark(item)
			if err != nil {
				return nil, err
			}
			if err := dict.SetKey(starlark.String(key), converted); err != nil {
				return nil, err
			}
		}
		return dict, nil
	default:
		return nil, fmt.Errorf("a %T in YAML", value)
	}
}

func fromStarlark(value starlark.Value) any {
	switch v := value.(type) {
	case starlark.Bool:
		return bool(v)
	case starlark.Int:
		n, _ := v.Int64()
		return n
	case starlark.Float:
		return float64(v)
	case starlark.String:
		return string(v)
	case *starlark.List:
		out := []any{}
		for _, item := range items(v) {
			out = append(out, fromStarlark(item))
		}
		return out
	case *starlark.Dict:
		out := map[string]any{}
		for _, pair := range v.Items() {
			key, _ := starlark.AsString(pair[0])
			out[key] = fromStarlark(pair[1])
		}
		return out
	default:
		return nil
	}
}

// items are the values of a list, or nothing.
func items(value starlark.Value) []starlark.Value {
	var out []starlark.Value
	if sequence, ok := value.(starlark.Iterable); ok {
		for item := range starlark.Elements(sequence) {
			out = append(out, item)
		}
	}
	return out
}

func (c call) text(name string) string {
	text, _ := starlark.AsString(c[name])
	return text
}

func (c call) texts(name string) []string {
	var out []string
	for _, item := range items(c[name]) {
		text, _ := starlark.AsString(item)
		out = append(out, text)
	}
	return out
}

// truth is a boolean argument, or what Tilt takes it to be if it is not given.
func (c call) truth(name string, otherwise bool) bool {
	if c[name] == nil {
		return otherwise
	}
	return bool(c[name].Truth())
}

// dict is a dictionary of texts.
func (c call) dict(name string) map[string]string {
	out := map[string]string{}
	if dict, ok := c[name].(*starlark.Dict); ok {
		for _, pair := range dict.Items() {
			key, _ := starlark.AsString(pair[0])
			out[key], _ = starlark.AsString(pair[1])
		}
	}
	return out
}

// member is a field of what probe, http_get_action and their like returned.
func member(value starlark.Value, name string) starlark.Value {
	if s, ok := value.(*starlarkstruct.Struct); ok {
		if field, err := s.Attr(name); err == nil {
			return field
		}
	}
	return starlark.None
}
