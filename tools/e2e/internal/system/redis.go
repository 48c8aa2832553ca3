package system

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/libs/embedded"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/tools/e2e/internal/process"
)

// OwnRedis starts a Redis that no other test uses, so that this one may do anything to it: a redis-server where the tests
// run on real servers, else an embedded one.
func OwnRedis(t testing.TB) string {
	t.Helper()
	if os.Getenv("LITTLEVOTE_TEST_REDIS_URL") == "" {
		server, err := embedded.Redis(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Close() })
		return server.URL()
	}
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	address, dir := process.Address(t), testenv.Dir(t)
	process.Start(t, process.Command{
		Name: "redis-server", Program: program, Dir: dir,
		Args: []string{"--bind", "127.0.0.1", "--port", address[strings.LastIndexByte(address, ':')+1:], "--save", "", "--dir", dir},
	})
	url := "redis://" + address
	testenv.Eventually(t, readyTimeout, func() error {
		return withRedis(url, func(ctx context.Context, rdb *redis.Client) error { return rdb.Ping(ctx).Err() })
	})
	return url
}

// Flush empties a Redis, with the scripts that it knows.
func Flush(url string) error {
	return withRedis(url, func(ctx context.Context, rdb *redis.Client) error { return rdb.FlushAll(ctx).Err() })
}

func withRedis(url string, use func(context.Context, *redis.Client) error) error {
	options, err := redis.ParseURL(url)
	if err != nil {
		return err
	}
	rdb := redis.NewClient(options)
	defer rdb.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return use(ctx, rdb)
}
