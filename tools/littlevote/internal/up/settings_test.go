package up

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/littlevote/littlevote/libs/config"
)

// libs/config/keys.txt is what one service accepts in a file that it shares with others.
func TestEveryKeyOfEveryServiceIsListed(t *testing.T) {
	s := defaults()
	loader, err := config.Bind(pflag.NewFlagSet("", pflag.ContinueOnError), &s.own, &s.gateway, &s.ticket, &s.vote, &s.query, &s.persist)
	if err != nil {
		t.Fatal(err)
	}
	want := loader.Keys()
	slices.Sort(want)
	if diff := cmp.Diff(want, config.AllKeys()); diff != "" {
		t.Errorf("libs/config/keys.txt should be:\n%s\n\n(-is in a service +is in the file)\n%s", strings.Join(want, "\n"), diff)
	}
}
