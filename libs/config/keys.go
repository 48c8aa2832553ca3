package config

import (
	_ "embed"
	"strings"
)

// keysFile lists every key of every service, one a line. A file or an environment may be shared by services of which
// each knows a part; what none of them knows is still refused. A test of the all-in-one, which has all settings, holds
// the list to the truth.
//
//go:embed keys.txt
var keysFile string

// elsewhere is what some service knows.
var elsewhere = newVocabulary(keysFile)

// vocabulary is a set of keys, as the file and the environment write them.
type vocabulary struct {
	keys      map[string]bool
	groups    map[string]bool
	variables map[string]bool
}

func newVocabulary(list string) vocabulary {
	v := vocabulary{keys: map[string]bool{}, groups: map[string]bool{}, variables: map[string]bool{}}
	for key := range strings.FieldsSeq(list) {
		v.keys[key] = true
		v.variables[variableOf(key)] = true
		for group := range prefixes(key) {
			v.groups[group] = true
		}
	}
	return v
}

// Keys returns the keys that the targets have, in the order of their declaration.
func (l *Loader) Keys() []string {
	keys := make([]string, len(l.settings))
	for i, s := range l.settings {
		keys[i] = s.key
	}
	return keys
}

// AllKeys returns the keys of every service, as listed.
func AllKeys() []string { return strings.Fields(keysFile) }
