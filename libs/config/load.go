package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"

	"github.com/littlevote/littlevote/libs/faultpoint"
)

// layer is one source of settings: for each key what it says, and where, for errors ("--ticket-cap", "a.yaml:3").
type layer struct {
	raw   map[string]any
	where map[string]string
}

func newLayer() layer { return layer{raw: map[string]any{}, where: map[string]string{}} }

// Load reads the file, the environment (as os.Environ gives it) and the flags, which the caller has parsed, into the targets, and
// calls Validate of every struct that has it. With an error the targets are not to be used.
func (l *Loader) Load(environ []string) error {
	variables, err := l.environment(environ)
	errs := []error{err}
	file, err := l.yamlFile(l.fileName(environ))
	errs = append(errs, err)
	merged := koanf.New(".")
	for _, source := range []layer{file, variables, l.flagLayer()} {
		errs = append(errs, l.check(source))
		if err := merged.Load(confmap.Provider(source.raw, "."), nil); err != nil {
			errs = append(errs, fmt.Errorf("config: %w", err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := l.apply(merged); err != nil {
		return err
	}
	return l.validate()
}

// fileName is the file that --config names, else the one that the environment names, else "".
func (l *Loader) fileName(environ []string) string {
	if l.flags.Changed(flagFile) {
		return l.file
	}
	for _, pair := range slices.Backward(environ) {
		if name, text, _ := strings.Cut(pair, "="); name == envFile {
			return text
		}
	}
	return ""
}

// environment reads the LITTLEVOTE_ variables.
func (l *Loader) environment(environ []string) (layer, error) {
	out := newLayer()
	var errs []error
	for _, pair := range environ {
		name, text, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) || strings.HasPrefix(name, envTestPrefix) || name == envFile {
			continue
		}
		s := l.byVariable[name]
		if pointed := l.pointsTo(name); pointed != nil {
			var err error
			if text, err = pointed.fromFile(name, text); err != nil {
				errs = append(errs, err)
				continue
			}
			s = pointed
		}
		if s == nil && (elsewhere.variables[name] || elsewhere.variables[strings.TrimSuffix(name, fileSuffix)] || faultpoint.Variable(name)) {
			continue // another service's, since one environment may serve them all, or no setting
		}
		if s == nil {
			errs = append(errs, fmt.Errorf("%s: unknown variable; --help lists the settings", name))
			continue
		}
		if other, twice := out.where[s.key]; twice && other != name {
			errs = append(errs, &KeyError{Key: s.key, Problem: fmt.Sprintf("expected one of %s and %s, not both", other, name)})
			continue
		}
		out.raw[s.key], out.where[s.key] = text, name
	}
	return out, errors.Join(errs...)
}

func (l *Loader) flagLayer() layer {
	out := newLayer()
	for _, s := range l.settings {
		if l.flags.Changed(s.flagName()) {
			out.raw[s.key], out.where[s.key] = s.flag.raw(), "--"+s.flagName()
		}
	}
	return out
}

// check makes sure that everything a layer says can be read, also what another layer overrides. Lists become []string.
func (l *Loader) check(source layer) error {
	var errs []error
	for _, s := range l.settings {
		raw, given := source.raw[s.key]
		if !given {
			continue
		}
		if text, ok := raw.(string); ok && isList(s.typ()) {
			source.raw[s.key] = splitList(text)
		}
		if _, err := decode(s.typ(), raw); err != nil {
			errs = append(errs, s.complain(raw, source.where[s.key], err))
		}
	}
	return errors.Join(errs...)
}

// complain makes the error for a value that does not parse.
func (s *setting) complain(raw any, where string, err error) error {
	var own *textError
	problem := err.Error()
	if errors.As(err, &own) {
		problem = fmt.Sprintf("expected a readable %s", s.typ())
	}
	switch {
	case s.secret, s.hides:
	case own != nil:
		problem += fmt.Sprintf(", got %q: %v", raw, own.err)
	default:
		problem += fmt.Sprintf(", got %q", raw)
	}
	return &KeyError{Key: s.key, Problem: fmt.Sprintf("%s (%s)", problem, where)}
}

// apply writes the merged layers into the targets; what no layer names keeps the default of its first target.
func (l *Loader) apply(merged *koanf.Koanf) error {
	for _, s := range l.settings {
		value := s.fields[0]
		if merged.Exists(s.key) {
			decoded, err := decode(s.typ(), merged.Get(s.key))
			if err != nil {
				return &KeyError{Key: s.key, Problem: err.Error()}
			}
			value = decoded
		}
		for _, field := range s.fields {
			field.Set(value)
		}
	}
	return nil
}
