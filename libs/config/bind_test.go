package config

import (
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestBindRefusesMistakes(t *testing.T) {
	type ok struct {
		A string `key:"a.b" help:"x"`
	}
	tests := map[string]struct {
		targets []any
		want    string
	}{
		"no pointer":      {[]any{ok{}}, "no pointer to a struct"},
		"nil":             {[]any{(*ok)(nil)}, "no pointer to a struct"},
		"pointer to text": {[]any{new(string)}, "no pointer to a struct"},
		"no help": {[]any{&struct {
			A string `key:"a"`
		}{}}, "key a has no help"},
		"unexported": {[]any{&struct {
			a string `key:"a" help:"x"`
		}{}}, "not exported"},
		"empty key": {[]any{&struct {
			A string `key:"" help:"x"`
		}{}}, "not made of words"},
		"upper case": {[]any{&struct {
			A string `key:"lockTTL" help:"x"`
		}{}}, "not made of words"},
		"underscore": {[]any{&struct {
			A string `key:"lock_ttl" help:"x"`
		}{}}, "not made of words"},
		"type": {[]any{&struct {
			A map[string]string `key:"a" help:"x"`
		}{}}, "type map"},
		"list of numbers": {[]any{&struct {
			A []int `key:"a" help:"x"`
		}{}}, "type []int"},
		"one key, two types": {[]any{&ok{}, &struct {
			A int `key:"a.b" help:"x"`
		}{}}, "key a.b has type string in one place and int"},
		"key begins key": {[]any{&ok{}, &struct {
			A string `key:"a" help:"x"`
		}{}}, "key a begins key a.b"},
		"key begins, first": {[]any{&struct {
			A string `key:"a" help:"x"`
		}{}, &ok{}}, "key a begins key a.b"},
		"one variable": {[]any{&ok{}, &struct {
			A string `key:"a-b" help:"x"`
		}{}}, "same variable LITTLEVOTE_A_B"},
		"test variable": {[]any{&struct {
			A string `key:"test.a" help:"x"`
		}{}}, "LITTLEVOTE_TEST_A has another meaning"},
		"config variable": {[]any{&struct {
			A string `key:"config" help:"x"`
		}{}}, "LITTLEVOTE_CONFIG has another meaning"},
		"print-config": {[]any{&struct {
			A string `key:"print.config" help:"x"`
		}{}}, "there is a flag --print-config already"},
		"flag of the caller": {[]any{&struct {
			A string `key:"taken" help:"x"`
		}{}}, "there is a flag --taken already"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
			flags.String("taken", "", "")
			_, err := Bind(flags, test.targets...)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want %q", err, test.want)
			}
		})
	}
}

func TestFlagsShowDefaultsWithoutSecrets(t *testing.T) {
	type target struct {
		Postgres Postgres `key:"postgres"`
		Secret   string   `key:"secret" help:"x" secret:"true"`
		Hosts    []string `key:"hosts" help:"x"`
	}
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	_, err := Bind(flags, &target{
		Postgres: Postgres{URL: "postgres://u:hush@h/d", PoolSize: 20}, Secret: "hush", Hosts: []string{"a", "b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	usage := flags.FlagUsages()
	for _, want := range []string{"postgres://u:[hidden]@h/d", "(default 20)", "(default a,b)", "[postgres.pool-size]", "--hosts strings"} {
		if !strings.Contains(usage, want) {
			t.Errorf("usage lacks %q:\n%s", want, usage)
		}
	}
	if strings.Contains(usage, "hush") {
		t.Errorf("usage shows a secret:\n%s", usage)
	}
}

// TestGroupsBind makes sure that the shared groups have help, names that fit together, and defaults that pass their own checks.
func TestGroupsBind(t *testing.T) {
	type all struct {
		Dev
		Log         Log         `key:"log"`
		Redis       Redis       `key:"redis"`
		Kafka       Kafka       `key:"kafka"`
		Postgres    Postgres    `key:"postgres"`
		Participant Participant `key:"participant"`
		TLS         TLS         `key:"tls"`
		Ticket      TicketKeys  `key:"ticket"`
	}
	target := &all{Redis: DefaultRedis(), Kafka: DefaultKafka(), Postgres: DefaultPostgres(), Participant: DefaultParticipant()}
	loader, err := load(t, nil, nil, "", target)
	if err != nil {
		t.Fatal(err)
	}
	if len(loader.settings) < reflect.TypeFor[all]().NumField() {
		t.Errorf("only %d settings", len(loader.settings))
	}
}
