package config

import (
	"errors"
	"strings"
	"testing"
	"time"
)

type checked struct {
	Inner checkedInner `key:"inner"`
	Max   int          `key:"max" help:"x"`
}

type checkedInner struct {
	Low  int    `key:"low" help:"x"`
	Name string `key:"name" help:"x"`
}

func (c *checked) Validate() error {
	if c.Max < c.Inner.Low {
		return errors.New("max and inner.low do not fit")
	}
	return nil
}

func (c checkedInner) Validate() error {
	return errors.Join(Between("low", c.Low, 1, 9), OneOf("name", c.Name, "a", "b"), Required("name", c.Name))
}

func TestValidateNamesKeys(t *testing.T) {
	_, err := load(t, []string{"--inner-low=20"}, nil, "", &checked{})
	want := strings.Join([]string{
		"inner.low: expected 1 to 9, got 20",
		`inner.name: expected one of a, b, got ""`,
		"inner.name: expected a value, got none",
		"max and inner.low do not fit",
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("error:\n%v\nwant:\n%s", err, want)
	}
	var keyed *KeyError
	if !errors.As(err, &keyed) || keyed.Key != "inner.low" {
		t.Errorf("first KeyError = %v", keyed)
	}
}

func TestValidateComplainsOnceForASharedKey(t *testing.T) {
	type user struct {
		Inner checkedInner `key:"inner"`
	}
	_, err := load(t, []string{"--inner-low=5", "--inner-name=c"}, nil, "", &user{}, &user{})
	if err == nil || err.Error() != `inner.name: expected one of a, b, got "c"` {
		t.Errorf("error = %v", err)
	}
}

func TestValidatePasses(t *testing.T) {
	if _, err := load(t, []string{"--inner-low=5", "--inner-name=a", "--max=5"}, nil, "", &checked{}); err != nil {
		t.Error(err)
	}
}

func TestGroupsValidate(t *testing.T) {
	redis := func(change func(*Redis)) error { r := DefaultRedis(); change(&r); return r.Validate() }
	kafka := func(change func(*Kafka)) error { k := DefaultKafka(); change(&k); return k.Validate() }
	postgres := func(change func(*Postgres)) error { p := DefaultPostgres(); change(&p); return p.Validate() }
	part := func(change func(*Participant)) error { p := DefaultParticipant(); change(&p); return p.Validate() }
	tests := map[string]struct {
		err  error
		want string // "" for no error
	}{
		"redis":                {redis(func(*Redis) {}), ""},
		"redis, none":          {redis(func(r *Redis) { r.URL = "" }), ""},
		"redis over TLS":       {redis(func(r *Redis) { r.URL = "rediss://:p@h:1/2" }), ""},
		"redis scheme":         {redis(func(r *Redis) { r.URL = "http://:hush@h" }), "url: expected a URL that begins with redis:// or"},
		"redis without scheme": {redis(func(r *Redis) { r.URL = "h:6379" }), "url: expected"},
		"redis no URL":         {redis(func(r *Redis) { r.URL = "redis://u:hush@h:port%" }), "url: expected"},
		"redis pool":           {redis(func(r *Redis) { r.PoolSize = 0 }), "pool-size: expected 1 to 100000, got 0"},
		"redis timeout":        {redis(func(r *Redis) { r.Timeout = time.Hour }), "timeout: expected 10ms to 1m0s, got 1h0m0s"},
		"sentinels over TLS": {redis(func(r *Redis) {
			r.URL, r.CAFile, r.SentinelPassword = "rediss+sentinel://h:1/m", "ca", "hush"
		}), ""},
		"redis CA without TLS":  {redis(func(r *Redis) { r.CAFile = "ca" }), "url: expected rediss://"},
		"redis key alone":       {redis(func(r *Redis) { r.URL, r.KeyFile = "rediss://h:1", "k" }), "cert-file: expected"},
		"sentinels' password":   {redis(func(r *Redis) { r.SentinelPassword = "hush" }), "url: expected redis+sentinel://"},
		"kafka, SCRAM":          {kafka(func(k *Kafka) { k.SASL, k.User, k.Password = SASLScramSHA512, "u", "hush" }), ""},
		"kafka, PLAIN over TLS": {kafka(func(k *Kafka) { k.TLS, k.SASL, k.User, k.Password = true, SASLPlain, "u", "hush" }), ""},
		"kafka, PLAIN":          {kafka(func(k *Kafka) { k.SASL, k.User, k.Password = SASLPlain, "u", "hush" }), "sasl: expected"},
		"kafka, SASL by chance": {kafka(func(k *Kafka) { k.SASL = "gssapi" }), "sasl: expected one of"},
		"kafka without name":    {kafka(func(k *Kafka) { k.SASL, k.Password = SASLScramSHA256, "hush" }), "user: expected"},
		"kafka, no password":    {kafka(func(k *Kafka) { k.SASL, k.User = SASLScramSHA256, "u" }), "password: expected"},
		"kafka, idle password":  {kafka(func(k *Kafka) { k.Password = "hush" }), "sasl: expected"},
		"kafka CA without TLS":  {kafka(func(k *Kafka) { k.CAFile = "ca" }), "tls: expected true"},
		"kafka":                 {kafka(func(*Kafka) {}), ""},
		"kafka brokers":         {kafka(func(k *Kafka) { k.Brokers = []string{"a:1", "b"} }), `brokers: expected host:port, got "b"`},
		"kafka port":            {kafka(func(k *Kafka) { k.Brokers = []string{"a:kafka"} }), "brokers: expected host:port"},
		"kafka partitions":      {kafka(func(k *Kafka) { k.Partitions = 0 }), "partitions: expected 1 to 1000"},
		"kafka replication":     {kafka(func(k *Kafka) { k.Replication = 0 }), "replication:"},
		"kafka retention":       {kafka(func(k *Kafka) { k.Retention = time.Minute }), "retention:"},
		"postgres":              {postgres(func(*Postgres) {}), ""},
		"postgres hosts":        {postgres(func(p *Postgres) { p.URL = "postgres://u:p@[::1]:1,h2:2/d?target_session_attrs=read-write" }), ""},
		"postgres, a socket":    {postgres(func(p *Postgres) { p.URL = "postgres:///d?host=/run/postgresql" }), ""},
		"postgres, spaces":      {postgres(func(p *Postgres) { p.URL = "postgres://u:hush@h 1/d" }), "url: expected"},
		"postgres replica":      {postgres(func(p *Postgres) { p.ReplicaURL = "redis://h" }), "replica-url: expected"},
		"postgres pool":         {postgres(func(p *Postgres) { p.PoolSize = 1001 }), "pool-size:"},
		"participant":           {part(func(*Participant) {}), ""},
		"lease":                 {part(func(p *Participant) { p.Lease = 0 }), "lease: expected 1s to 1h0m0s"},
		"heartbeat":             {part(func(p *Participant) { p.Heartbeat = 30 * time.Second }), "heartbeat: expected 10ms to 20s, got 30s"},
		"traces over TLS":       {Trace{Endpoint: "https://h:4317", CAFile: "ca", CertFile: "c", KeyFile: "k"}.Validate(), ""},
		"traces, CA, no TLS":    {Trace{Endpoint: "http://h:4317", CAFile: "ca"}.Validate(), "endpoint: expected https://"},
		"traces without key":    {Trace{Endpoint: "https://h:4317", CertFile: "c"}.Validate(), "key-file: expected a file"},
		"traces, bad ratio":     {Trace{Ratio: 1.5}.Validate(), "ratio: expected a number from 0 to 1"},
		"tls":                   {TLS{CertFile: "c", KeyFile: "k"}.Validate(), ""},
		"tls, CA only":          {TLS{CAFile: "c"}.Validate(), ""},
		"tls without key":       {TLS{CertFile: "c"}.Validate(), "key-file: expected a file"},
		"tls without cert":      {TLS{KeyFile: "k"}.Validate(), "cert-file: expected a file"},
		"address":               {Address("listen", ":0"), ""},
		"address, port":         {Address("listen", "127.0.0.1:65536"), "listen: expected host:port"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			switch {
			case test.want == "" && test.err != nil:
				t.Error(test.err)
			case test.want != "" && (test.err == nil || !strings.Contains(test.err.Error(), test.want)):
				t.Errorf("error = %v, want %q", test.err, test.want)
			case test.err != nil && strings.Contains(test.err.Error(), "hush"):
				t.Errorf("error %q shows a password", test.err)
			}
		})
	}
}
