package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"
)

// yamlFile reads the settings of a file; no name is an empty layer. The file is read as a tree of nodes and not as Go values, so
// that every value reaches decode as the text that was written (no 1e3 for a whole number) and errors can name the line.
func (l *Loader) yamlFile(name string) (layer, error) {
	out := newLayer()
	if name == "" {
		return out, nil
	}
	content, err := os.ReadFile(name) //nolint:gosec // The operator names the file.
	if err != nil {
		return out, fmt.Errorf("--config: %w", err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return out, nil
	} else if err != nil {
		return out, fmt.Errorf("%s: %w", name, err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return out, fmt.Errorf("%s: expected one YAML document, not several", name)
	}
	reader := fileReader{loader: l, name: name, out: out}
	reader.group("", document.Content[0])
	return out, errors.Join(reader.errs...)
}

type fileReader struct {
	loader *Loader
	name   string
	out    layer
	errs   []error
}

func (r *fileReader) failf(node *yaml.Node, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s:%d: %w", r.name, node.Line, fmt.Errorf(format, args...)))
}

// group reads a map under prefix. It goes no deeper than the settings do, so an anchor that holds itself ends as an unknown key.
func (r *fileReader) group(prefix string, node *yaml.Node) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Tag == "!!null" {
		return // A group whose keys are all commented out.
	}
	if node.Kind != yaml.MappingNode {
		r.failf(node, "expected keys under %q", prefix)
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		key := join(prefix, name.Value)
		switch {
		case r.loader.byKey[key] != nil:
			r.leaf(key, name, value)
		case r.loader.groups[key], elsewhere.groups[key]:
			r.group(key, value)
		case elsewhere.keys[key]:
			// Another service's: one file may serve them all.
		default:
			r.failf(name, "unknown key %q; --help lists the settings", key)
		}
	}
}

func (r *fileReader) leaf(key string, name, node *yaml.Node) {
	where := fmt.Sprintf("%s:%d", r.name, name.Line)
	if earlier, twice := r.out.where[key]; twice {
		r.failf(name, "key %q is given twice, first in %s", key, earlier)
		return
	}
	raw, ok := rawNode(node)
	if !ok {
		r.failf(name, "key %q: expected %s; \"\" stands for an empty text", key, expectation(r.loader.byKey[key].typ()))
		return
	}
	r.out.raw[key], r.out.where[key] = raw, where
}

// rawNode turns a node into what decode takes: text, or a list of texts.
func rawNode(node *yaml.Node) (raw any, ok bool) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch {
	case node.Kind == yaml.ScalarNode && node.Tag != "!!null":
		return node.Value, true
	case node.Kind == yaml.SequenceNode:
		items := make([]string, 0, len(node.Content))
		for _, item := range node.Content {
			text, ok := rawNode(item)
			scalar, isText := text.(string)
			if !ok || !isText {
				return nil, false
			}
			items = append(items, scalar)
		}
		return items, true
	default:
		return nil, false
	}
}
