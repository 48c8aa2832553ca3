package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/littlevote/littlevote/libs/config"
)

// One file and one environment serve all services, and a mistake in them still stops each.
func TestKeysOfOtherServicesPass(t *testing.T) {
	load := func(yaml string, environ ...string) error {
		file := filepath.Join(t.TempDir(), "littlevote.yaml")
		if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		var target struct {
			Redis config.Redis `key:"redis"`
		}
		target.Redis = config.DefaultRedis()
		loader, err := config.Bind(pflag.NewFlagSet("", pflag.ContinueOnError), &target)
		if err != nil {
			t.Fatal(err)
		}
		if err := loader.Load(append(environ, "LITTLEVOTE_CONFIG="+file)); err != nil {
			return err
		}
		if target.Redis.PoolSize != 7 {
			t.Fatalf("pool size %d", target.Redis.PoolSize)
		}
		return nil
	}
	const shared = "redis: {pool-size: 7}\nticket:\n  cap: 5\n  lock-ttl: 2s\nballots.cast.ticket.cap: 3\n"
	if err := load(shared, "LITTLEVOTE_TICKET_CAP=9"); err != nil {
		t.Fatal(err)
	}
	for mistake, key := range map[string]string{
		"ticket: {capp: 5}":                     "ticket.capp",
		"ballots: {nobody: {ticket: {cap: 5}}}": "ballots.nobody",
		"tickets: {cap: 5}":                     "tickets",
		"ticket.cap.more: 5":                    "ticket.cap.more",
	} {
		if err := load(mistake); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v, want an error that names %s", mistake, err, key)
		}
	}
	if err := load(shared, "LITTLEVOTE_TICKET_CAPP=9"); err == nil || !strings.Contains(err.Error(), "LITTLEVOTE_TICKET_CAPP") {
		t.Errorf("unknown variable: %v", err)
	}
}
