package pgledger

import (
	"strings"
	"testing"
)

func TestWeakIn(t *testing.T) {
	for name, test := range map[string]struct{ fsync, commit, standbys, want string }{
		"a replica is waited for":  {"on", "on", "FIRST 1 (a, b)", ""},
		"its memory is enough":     {"on", "remote_write", "*", ""},
		"none is":                  {"on", "on", "", "synchronous_standby_names is empty"},
		"none is, by commit":       {"on", "local", "*", "synchronous_commit is local"},
		"commits come before disk": {"on", "off", "*", "synchronous_commit is off"},
		"no fsync":                 {"off", "on", "*", "fsync"},
	} {
		weak := strings.Join(weakIn(map[string]string{
			"fsync": test.fsync, "full_page_writes": "on", "synchronous_commit": test.commit, "synchronous_standby_names": test.standbys,
		}), "; ")
		if test.want == "" && weak != "" || !strings.Contains(weak, test.want) {
			t.Errorf("%s: %q", name, weak)
		}
	}
}
