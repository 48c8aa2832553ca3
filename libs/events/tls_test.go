package events_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/service/servicetest"
)

// secureKafka speaks TLS only, with who has a certificate of the CA and logs in.
func secureKafka(t *testing.T, ca *servicetest.CA) []string {
	t.Helper()
	files := ca.Issue(t, service.Persister)
	own, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.Cert())
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(),
		kfake.Superuser("SCRAM-SHA-512", "strong", "hunter2"), kfake.Superuser("SCRAM-SHA-256", "good", "hunter2"), kfake.Superuser("PLAIN", "plain", "hunter2"),
		kfake.TLS(&tls.Config{
			Certificates: []tls.Certificate{own}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster.ListenAddrs()
}

func pingKafka(t *testing.T, cfg config.Kafka) error {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		return err
	}
	client, err := events.NewClient(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	return client.Ping(ctx)
}

// TestKafkaByTLSAndSASL: with the right files and login, and with nothing less. (Apache Kafka was tried by hand.)
func TestKafkaByTLSAndSASL(t *testing.T) {
	ca, other := servicetest.NewCA(t), servicetest.NewCA(t)
	mine, strange := ca.Issue(t, service.VoteService), other.Issue(t, service.VoteService)
	good := config.DefaultKafka()
	good.Brokers, good.TLS = secureKafka(t, ca), true
	good.CAFile, good.CertFile, good.KeyFile = mine.CAFile, mine.CertFile, mine.KeyFile
	for _, login := range [][2]string{{"strong", config.SASLScramSHA512}, {"good", config.SASLScramSHA256}, {"plain", config.SASLPlain}} {
		good.User, good.SASL, good.Password = login[0], login[1], "hunter2"
		if err := pingKafka(t, good); err != nil {
			t.Errorf("%s: %v", login[1], err)
		}
	}
	for name, change := range map[string]func(*config.Kafka){
		"without a login":       func(k *config.Kafka) { k.SASL, k.User, k.Password = config.SASLNone, "", "" },
		"a wrong password":      func(k *config.Kafka) { k.Password = "hunter3" },
		"another mechanism":     func(k *config.Kafka) { k.SASL = config.SASLScramSHA512 },
		"without a certificate": func(k *config.Kafka) { k.CertFile, k.KeyFile = "", "" },
		"their CA is not ours":  func(k *config.Kafka) { k.CAFile = strange.CAFile },
	} {
		bad := good
		change(&bad)
		if err := pingKafka(t, bad); err == nil {
			t.Errorf("%s: connected", name)
		}
	}
	bad := good
	bad.CertFile = "/does/not/exist"
	var keyed *config.KeyError
	if _, err := events.NewProducer(bad, slog.New(slog.DiscardHandler)); !errors.As(err, &keyed) || keyed.Key != "kafka.cert-file" {
		t.Errorf("no certificate file: %v", err)
	}
}
