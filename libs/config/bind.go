package config

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/spf13/pflag"
)

const (
	envPrefix     = "LITTLEVOTE_"
	envTestPrefix = "LITTLEVOTE_TEST_"
	envFile       = "LITTLEVOTE_CONFIG"
	flagFile      = "config"
	flagPrint     = "print-config"
)

// Loader fills the structs that Bind was given. It is not safe for concurrent use.
type Loader struct {
	flags      *pflag.FlagSet
	file       string
	printOnly  bool
	settings   []*setting          // in the order of their declaration
	byKey      map[string]*setting // by "ticket.lock-ttl"
	byVariable map[string]*setting // by "LITTLEVOTE_TICKET_LOCK_TTL"
	groups     map[string]bool     // every proper prefix of a key: "ticket"
	validators []validator         // inner structs before those that hold them
}

// setting is one key and all the struct fields that take its value.
type setting struct {
	key    string
	help   string
	secret bool
	hides  bool // its value came from a file, so it may be secret whatever the setting is
	fields []reflect.Value
	flag   *flagValue
}

func (s *setting) typ() reflect.Type { return s.fields[0].Type() }
func (s *setting) flagName() string  { return strings.ReplaceAll(s.key, ".", "-") }
func (s *setting) variable() string  { return variableOf(s.key) }

func variableOf(key string) string {
	return envPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// Bind makes a flag of every setting of the targets, which are pointers to structs, and adds --config and --print-config. Two
// targets may share a key: both get its value, and the default and the help of the first target hold for both. An error is a
// mistake in the program, not in its use.
func Bind(flags *pflag.FlagSet, targets ...any) (*Loader, error) {
	l := &Loader{
		flags:      flags,
		byKey:      map[string]*setting{},
		byVariable: map[string]*setting{},
		groups:     map[string]bool{},
	}
	for _, target := range targets {
		value := reflect.ValueOf(target)
		if value.Kind() != reflect.Pointer || value.IsNil() || value.Elem().Kind() != reflect.Struct {
			return nil, fmt.Errorf("config: target %T is no pointer to a struct", target)
		}
		if err := l.bindStruct("", value.Elem()); err != nil {
			return nil, fmt.Errorf("config: %T: %w", target, err)
		}
	}
	if err := l.checkNames(); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if err := l.addFlags(); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return l, nil
}

// PrintOnly reports whether --print-config was given: the program prints its settings and ends.
func (l *Loader) PrintOnly() bool { return l.printOnly }

// bindStruct collects the settings of a struct whose keys begin with prefix, and then the struct's own Validate.
func (l *Loader) bindStruct(prefix string, value reflect.Value) error {
	for i := range value.NumField() {
		if err := l.bindField(prefix, value.Type().Field(i), value.Field(i)); err != nil {
			return err
		}
	}
	if check, ok := value.Addr().Interface().(interface{ Validate() error }); ok {
		l.validators = append(l.validators, validator{prefix: prefix, check: check.Validate})
	}
	return nil
}

// bindField takes one field. Fields without a key are no settings, except that an embedded struct lends its fields.
func (l *Loader) bindField(prefix string, field reflect.StructField, value reflect.Value) error {
	name, tagged := field.Tag.Lookup("key")
	inner := value.Kind() == reflect.Struct && !isText(value.Type())
	if !tagged {
		if field.Anonymous && inner && field.IsExported() {
			return l.bindStruct(prefix, value)
		}
		return nil
	}
	if !field.IsExported() {
		return fmt.Errorf("field %s has a key and is not exported", field.Name)
	}
	if !regexp.MustCompile(`^[a-z][a-z0-9]*([.-][a-z0-9]+)*$`).MatchString(name) {
		return fmt.Errorf("field %s: key %q is not made of words in lower case with . or - between them", field.Name, name)
	}
	key := join(prefix, name)
	if inner {
		return l.bindStruct(key, value)
	}
	return l.bindSetting(key, field, value)
}

func (l *Loader) bindSetting(key string, field reflect.StructField, value reflect.Value) error {
	if _, ok := typeName(value.Type()); !ok {
		return fmt.Errorf("key %s: no setting can have type %s", key, value.Type())
	}
	secret := field.Tag.Get("secret") == "true"
	known, shared := l.byKey[key]
	if shared {
		if known.typ() != value.Type() {
			return fmt.Errorf("key %s has type %s in one place and %s in another", key, known.typ(), value.Type())
		}
		known.secret = known.secret || secret
		known.fields = append(known.fields, value)
		return nil
	}
	help := field.Tag.Get("help")
	if help == "" {
		return fmt.Errorf("key %s has no help", key)
	}
	added := &setting{key: key, help: help, secret: secret, fields: []reflect.Value{value}}
	l.byKey[key] = added
	l.settings = append(l.settings, added)
	return nil
}

// checkNames refuses keys that could not be told apart: in YAML a key that begins another, in flags and the environment two
// keys that differ in . and - only.
func (l *Loader) checkNames() error {
	var errs []error
	for _, s := range l.settings {
		for prefix := range prefixes(s.key) {
			l.groups[prefix] = true
			if l.byKey[prefix] != nil {
				errs = append(errs, fmt.Errorf("key %s begins key %s", prefix, s.key))
			}
		}
		variable := s.variable()
		if other := l.byVariable[variable]; other != nil {
			errs = append(errs, fmt.Errorf("keys %s and %s have the same variable %s", other.key, s.key, variable))
		}
		if other := l.byVariable[variable+fileSuffix]; other != nil {
			errs = append(errs, fmt.Errorf("key %s: variable %s%s, for a file with its value, is that of key %s", s.key, variable, fileSuffix, other.key))
		}
		if other := l.byVariable[strings.TrimSuffix(variable, fileSuffix)]; other != nil && strings.HasSuffix(variable, fileSuffix) {
			errs = append(errs, fmt.Errorf("key %s: variable %s is for a file with the value of key %s", s.key, variable, other.key))
		}
		if strings.HasPrefix(variable, envTestPrefix) || variable == envFile {
			errs = append(errs, fmt.Errorf("key %s: variable %s has another meaning", s.key, variable))
		}
		l.byVariable[variable] = s
	}
	return errors.Join(errs...)
}

func (l *Loader) addFlags() error {
	for _, s := range l.settings {
		if l.flags.Lookup(s.flagName()) != nil {
			return fmt.Errorf("key %s: there is a flag --%s already", s.key, s.flagName())
		}
		shown, err := s.shown()
		if err != nil {
			return fmt.Errorf("key %s: default: %w", s.key, err)
		}
		name, _ := typeName(s.typ())
		s.flag = &flagValue{typ: name, list: isList(s.typ()), initial: shown}
		flag := l.flags.VarPF(s.flag, s.flagName(), "", fmt.Sprintf("%s [%s]", s.help, s.key))
		if s.typ().Kind() == reflect.Bool && !isText(s.typ()) {
			flag.NoOptDefVal = "true"
		}
	}
	for _, name := range []string{flagFile, flagPrint} {
		if l.flags.Lookup(name) != nil {
			return fmt.Errorf("there is a flag --%s already", name)
		}
	}
	l.flags.StringVar(&l.file, flagFile, "", "YAML file with settings; also "+envFile)
	l.flags.BoolVar(&l.printOnly, flagPrint, false, "print the settings in effect, secrets hidden, and end")
	return nil
}

// flagValue keeps what a flag was given as text: it is read in Load with all the other layers, so that its errors look alike
// and never show a secret.
type flagValue struct {
	typ     string
	list    bool
	initial string
	text    string
	items   []string
}

// String gives the default, which is all that the flag library asks for.
func (f *flagValue) String() string { return f.initial }
func (f *flagValue) Type() string   { return f.typ }

// Set takes the value; a list may be given in several flags.
func (f *flagValue) Set(text string) error {
	f.text = text
	if f.list {
		f.items = append(f.items, splitList(text)...)
	}
	return nil
}

// raw is the value for decode.
func (f *flagValue) raw() any {
	if f.list {
		return f.items
	}
	return f.text
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

// prefixes yields "a" and "a.b" for "a.b.c".
func prefixes(key string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i, r := range key {
			if r == '.' && !yield(key[:i]) {
				return
			}
		}
	}
}
