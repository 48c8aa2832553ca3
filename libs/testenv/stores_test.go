package testenv_test

import (
	"errors"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/testenv"
)

func TestPostgresGivesEachCallAnEmptyDatabase(t *testing.T) {
	for range 2 {
		conn, err := pgx.Connect(t.Context(), testenv.Postgres(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "CREATE TABLE votes (n int)"); err != nil {
			t.Fatalf("the database is not empty: %v", err)
		}
		// Left open: the database goes away all the same.
	}
}

func TestPostgresDropsTheDatabaseWithItsTest(t *testing.T) {
	var url string
	t.Run("user", func(t *testing.T) {
		url = testenv.Postgres(t)
		if _, err := pgx.Connect(t.Context(), url); err != nil {
			t.Fatal(err)
		}
	})
	const noSuchDatabase = "3D000"
	_, err := pgx.Connect(t.Context(), url)
	if refused := (*pgconn.PgError)(nil); !errors.As(err, &refused) || refused.Code != noSuchDatabase {
		t.Errorf("connecting after the test: %v", err)
	}
}

func TestRedisAnswers(t *testing.T) {
	options, err := redis.ParseURL(testenv.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	key := testenv.Namespace(t)
	if err := client.Set(t.Context(), key, "x", time.Minute).Err(); err != nil {
		t.Error(err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}

func TestKafkaTakesATopic(t *testing.T) {
	client, err := kgo.NewClient(kgo.SeedBrokers(testenv.Kafka(t)...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin, topic := kadm.NewClient(client), testenv.Topic(t)+"votes"
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.DeleteTopic(t.Context(), topic); err != nil {
		t.Error(err)
	}
}

func TestEtcdAnswers(t *testing.T) {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, testenv.Etcd(t)[0]+"/version", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("etcd answers %s, %v", response.Status, err)
	}
}

func TestTheEnvironmentNamesRealServers(t *testing.T) {
	t.Setenv("LITTLEVOTE_TEST_REDIS_URL", "redis://192.0.2.1:6379")
	t.Setenv("LITTLEVOTE_TEST_KAFKA_BROKERS", "192.0.2.1:9092,192.0.2.2:9092")
	t.Setenv("LITTLEVOTE_TEST_ETCD_ENDPOINTS", "http://192.0.2.1:2379,http://192.0.2.2:2379")
	got := map[string][]string{"redis": {testenv.Redis(t)}, "kafka": testenv.Kafka(t), "etcd": testenv.Etcd(t)}
	want := map[string][]string{
		"redis": {"redis://192.0.2.1:6379"},
		"kafka": {"192.0.2.1:9092", "192.0.2.2:9092"},
		"etcd":  {"http://192.0.2.1:2379", "http://192.0.2.2:2379"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("servers (-want +got):\n%s", diff)
	}
}

func TestARealPostgresThatIsAwayFailsTheTest(t *testing.T) {
	t.Setenv("LITTLEVOTE_TEST_POSTGRES_URL", "postgres://nobody@127.0.0.1:1/x?sslmode=disable")
	if !fails(t, func(t testing.TB) { testenv.Postgres(t) }) {
		t.Error("the test went on without its Postgres")
	}
}

func TestEventuallyWaitsForSuccess(t *testing.T) {
	tries := 0
	testenv.Eventually(t, time.Minute, func() error {
		if tries++; tries < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if tries != 3 {
		t.Errorf("%d tries", tries)
	}
}

func TestEventuallyGivesUp(t *testing.T) {
	if !fails(t, func(t testing.TB) {
		testenv.Eventually(t, time.Millisecond, func() error { return errors.New("never") })
	}) {
		t.Error("what never came true did not fail the test")
	}
}

// fails says whether use fails the test that it is given.
func fails(t *testing.T, use func(testing.TB)) bool {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		use(r)
	}()
	<-done
	return r.failed
}

// recorder is a test whose failure is an observation.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Fatal(...any) {
	r.failed = true
	runtime.Goexit()
}

func (r *recorder) Fatalf(string, ...any) { r.Fatal() }
