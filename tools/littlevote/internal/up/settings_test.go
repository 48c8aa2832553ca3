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
	loader, err := config.Bind(pflag.NewFlagSet("", pflag.ContinueOnError), &s.own, &s.gateway, &s.ticket, &s.vote, &s.query, &s.persist, &s.blog)
	if err != nil {
		t.Fatal(err)
	}
	want := loader.Keys()
	slices.Sort(want)
	if diff := cmp.Diff(want, config.AllKeys()); diff != "" {
		t.Errorf("libs/config/keys.txt should be:\n%s\n\n(-is in a service +is in the file)\n%s", strings.Join(want, "\n"), diff)
	}
}

// load sets one key of the whole system, by its flag or by its variable.
func load(t *testing.T, flag string, environ ...string) error {
	t.Helper()
	s, flags := defaults(), pflag.NewFlagSet("", pflag.ContinueOnError)
	loader, err := config.Bind(flags, &s.own, &s.gateway, &s.ticket, &s.vote, &s.query, &s.persist, &s.blog)
	if err != nil {
		t.Fatal(err)
	}
	if flag != "" {
		if err := flags.Parse([]string{flag}); err != nil {
			t.Fatal(err)
		}
	}
	return loader.Load(environ)
}

// A number or a duration that makes no sense stops every service, with its key and what was expected instead.
func TestSenselessNumbersAreRefused(t *testing.T) {
	t.Parallel()
	s, flags := defaults(), pflag.NewFlagSet("", pflag.ContinueOnError)
	loader, err := config.Bind(flags, &s.own, &s.gateway, &s.ticket, &s.vote, &s.query, &s.persist, &s.blog)
	if err != nil {
		t.Fatal(err)
	}
	senseless := map[string][]string{
		"int":      {"0", "-1", "garbage", "1.5", "9223372036854775808", ""},
		"float":    {"-1", "garbage", "NaN", "Inf", ""},
		"duration": {"0s", "-1s", "garbage", "5", "1e9h", ""},
		"bool":     {"garbage", "2"},
	}
	checked := 0
	for _, key := range loader.Keys() {
		name := strings.ReplaceAll(key, ".", "-")
		for i, value := range senseless[flags.Lookup(name).Value.Type()] {
			if strings.TrimSuffix(value, "s") == "0" && mayBeZero[key] {
				continue
			}
			checked++
			variable := "LITTLEVOTE_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
			flag, environ := "--"+name+"="+value, []string(nil)
			if i%2 == 1 { // both ways lead to the same check
				flag, environ = "", []string{variable + "=" + value}
			}
			if err := load(t, flag, environ...); err == nil || !strings.Contains(err.Error(), key+": expected ") {
				t.Errorf("%s: %q: %v", key, value, err)
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d settings were tried", checked)
	}
}

// mayBeZero are the settings whose help gives zero a meaning.
//
//nolint:gochecknoglobals // A constant.
var mayBeZero = map[string]bool{
	"gateway.document-cache": true, "gateway.drain-wait": true, "gateway.max-aliases": true, "gateway.votes.ticket-wait": true,
	"reconcile.interval": true, "likes.voter-rate": true, "likes.address-rate": true, "likes.item-rate": true,
	"gateway.live.patience": true, "gateway.live.max-subscriptions": true, "gateway.persisted-queries": true,
	"gateway.connections.per-address": true, "gateway.limits.address-rate": true, "gateway.limits.network-rate": true,
	"gateway.limits.voter-rate": true, "gateway.limits.tenant-rate": true,
}

// Settings that nobody knows, and values that are no numbers but have rules of their own.
func TestOtherMistakesAreRefused(t *testing.T) {
	t.Parallel()
	for variable, want := range map[string]string{
		"LITTLEVOTE_TICKET_CAPP=5":              "LITTLEVOTE_TICKET_CAPP: unknown variable",
		"LITTLEVOTE_TICKET_CAP=0":               "ticket.cap: expected",
		"LITTLEVOTE_TICKET_CAP=-1":              "ticket.cap: expected",
		"LITTLEVOTE_TICKET_CAP=some":            "ticket.cap: expected",
		"LITTLEVOTE_BALLOTS_CAST_TICKET_CAP=0":  "ballots.cast.ticket.cap: expected",
		"LITTLEVOTE_TICKET_LOCK=zookeeper":      "ticket.lock: expected",
		"LITTLEVOTE_REDIS_URL=http://h":         "redis.url: expected",
		"LITTLEVOTE_POSTGRES_URL=mysql://h":     "postgres.url: expected",
		"LITTLEVOTE_KAFKA_BROKERS=h":            "kafka.brokers: expected",
		"LITTLEVOTE_KAFKA_TOPIC_PREFIX=ÄÖÜ":     "kafka.topic-prefix: expected",
		"LITTLEVOTE_TLS_CERT_FILE=/does/not/be": "tls.key-file: expected",
		"LITTLEVOTE_PERSISTER_LISTEN=8104":      "persister.listen: expected",
		"LITTLEVOTE_LOG_LEVEL=loud":             "log.level: expected",
		"LITTLEVOTE_PARTICIPANT_HEARTBEAT=30s":  "participant.heartbeat: expected",
	} {
		if err := load(t, "", variable); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", variable, err, want)
		}
	}
	if err := load(t, "", "LITTLEVOTE_TICKET_CAP=none"); err != nil {
		t.Errorf("no cap: %v", err)
	}
}
