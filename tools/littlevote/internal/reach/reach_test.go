package reach

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/littlevote/littlevote/libs/config"
)

// TestStoresByVariablesAndFiles: secrets come from files, flags go before, and the help shows nothing of either.
func TestStoresByVariablesAndFiles(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(secret, []byte("postgres://u:hunter2@h/d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LITTLEVOTE_POSTGRES_URL_FILE", secret)
	t.Setenv("LITTLEVOTE_REDIS_URL", "redis://:hunter3@elsewhere:1")
	t.Setenv("LITTLEVOTE_KAFKA_BROKERS", "k:1,k:2")
	t.Setenv("LITTLEVOTE_KAFKA_TLS", "true")
	t.Setenv("LITTLEVOTE_KAFKA_SASL", config.SASLPlain)
	t.Setenv("LITTLEVOTE_KAFKA_USER", "me")
	t.Setenv("LITTLEVOTE_KAFKA_PASSWORD", "hunter4")
	var s Stores
	cmd := &cobra.Command{Use: "test", RunE: func(*cobra.Command, []string) error { return s.Find() }}
	s.Flags(cmd, Redis, Kafka)
	cmd.SetArgs([]string{"--redis-url=redis://here:1", "--data-dir=" + t.TempDir()})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	kafka := s.KafkaConfig()
	if s.PostgresURL != "postgres://u:hunter2@h/d" || s.RedisConfig().URL != "redis://here:1" ||
		strings.Join(kafka.Brokers, " ") != "k:1 k:2" || !kafka.TLS || kafka.Password != "hunter4" {
		t.Errorf("%+v", s)
	}
	if help := cmd.UsageString(); strings.Contains(help, "hunter") {
		t.Errorf("the help shows a password:\n%s", help)
	}
	t.Setenv("LITTLEVOTE_POSTGRES_URL", "postgres://h/d")
	if err := s.Find(); err == nil || strings.Contains(err.Error(), "hunter") {
		t.Errorf("both forms: %v", err)
	}
}
