package ticketservice

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/littlevote/littlevote/libs/config"
)

func load(args []string, environ ...string) (Config, error) {
	cfg := DefaultConfig()
	flags := pflag.NewFlagSet("ticket-service", pflag.ContinueOnError)
	loader, err := config.Bind(flags, &cfg)
	if err != nil {
		return cfg, err
	}
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	return cfg, loader.Load(environ)
}

func TestS19Settings(t *testing.T) {
	cfg, err := load([]string{"--ticket-cap", "none", "--ballots-cast-ticket-cap=7"}, "LITTLEVOTE_BALLOTS_TINY_TICKET_INTERVAL=5s")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Ticket.Cap != None || cfg.Ballots.Cast.Ticket.Cap != 7 || cfg.Ballots.Tiny.Ticket.Interval != 5*time.Second {
		t.Errorf("%+v", cfg)
	}
	want := DefaultConfig().rules()
	if want[0].Cap != 1000 || want[1].Cap != 100 || want[2].Cap != int64(None) || want[0].Interval != 2*time.Second {
		t.Errorf("defaults are not the published ones: %+v", want)
	}
}

func TestBadSettingsAreNamed(t *testing.T) {
	for args, key := range map[string]string{
		"--ticket-cap=0":                                   "ticket.cap",
		"--ticket-cap=-1":                                  "ticket.cap",
		"--ticket-cap=many":                                "ticket.cap",
		"--ticket-cap=2147483648":                          "ticket.cap",
		"--ticket-interval=0s":                             "ticket.interval",
		"--ticket-interval=-1s":                            "ticket.interval",
		"--ballots-cast-ticket-cap=0":                      "ballots.cast.ticket.cap",
		"--ballots-tiny-ticket-interval=0s":                "ballots.tiny.ticket.interval",
		"--ticket-lock=zookeeper":                          "ticket.lock",
		"--ticket-lock-ttl=0s":                             "ticket.lock-ttl",
		"--ticket-lock-key=":                               "ticket.lock-key",
		"--ticket-listen=here":                             "ticket.listen",
		"--ticket-lock=etcd --ticket-lock-etcd-endpoints=": "ticket.lock-etcd-endpoints",
	} {
		if _, err := load(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), key+":") {
			t.Errorf("%s: %v", args, err)
		}
	}
}

func TestCapIsPrintedAsItIsRead(t *testing.T) {
	cfg := DefaultConfig()
	flags := pflag.NewFlagSet("ticket-service", pflag.ContinueOnError)
	loader, err := config.Bind(flags, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := loader.Load(nil); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := loader.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"cap: 1000", "cap: none"} {
		text := strings.ReplaceAll(strings.ReplaceAll(out.String(), `"`, ""), "'", "")
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in\n%s", part, out.String())
		}
	}
}
