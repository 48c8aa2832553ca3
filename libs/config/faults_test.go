package config_test

import (
	"testing"

	"github.com/spf13/pflag"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/faultpoint"
)

// What only a binary for faults understands is a mistake everywhere else: nobody shall believe that it has an effect.
func TestVariablesOfFaultsAreKnownWhereTheyHaveAnEffect(t *testing.T) {
	for _, name := range []string{"LITTLEVOTE_FAILPOINT", "LITTLEVOTE_MUTANT", "LITTLEVOTE_CLOCK_OFFSET"} {
		loader, err := config.Bind(pflag.NewFlagSet("test", pflag.ContinueOnError), &struct{}{})
		if err != nil {
			t.Fatal(err)
		}
		if err := loader.Load([]string{name + "=x"}); (err == nil) != faultpoint.Enabled {
			t.Errorf("%s: %v, with faults: %v", name, err, faultpoint.Enabled)
		}
	}
}
