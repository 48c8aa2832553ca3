package embedded_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/libs/embedded"
	"github.com/littlevote/littlevote/libs/testenv"
)

func startRedis(t *testing.T) *redis.Client {
	t.Helper()
	server, err := embedded.Redis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	options, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() {
		if err := errors.Join(client.Close(), server.Close()); err != nil {
			t.Error(err)
		}
	})
	return client
}

func TestRedisKeysExpireAsTimePasses(t *testing.T) {
	client := startRedis(t)
	const ttl = 200 * time.Millisecond
	began := time.Now()
	if err := client.Set(t.Context(), "key", "value", ttl).Err(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 5*time.Second, func() error {
		err := client.Get(t.Context(), "key").Err()
		if errors.Is(err, redis.Nil) {
			return nil
		}
		return errors.Join(errors.New("the key is still there"), err)
	})
	// A key may go one tick of the server's clock early, no more.
	if took := time.Since(began); took < ttl/2 {
		t.Errorf("a key with a TTL of %v was gone after %v", ttl, took)
	}
}

func TestRedisTimeIsTheWallClock(t *testing.T) {
	now, err := startRedis(t).Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	if off := time.Since(now).Abs(); off > time.Second {
		t.Errorf("TIME is off by %v", off)
	}
}

// Scripts read the primary's replication id by one INFO and must go on where there is none.
func TestRedisScriptsCanAskForReplicationInVain(t *testing.T) {
	const script = `
local info = redis.pcall('INFO', 'replication')
redis.call('SET', KEYS[1], 'written after')
return {type(info), tostring(type(info) == 'table' and info.err or info), redis.call('TIME')[1]}`
	client := startRedis(t)
	reply, err := client.Eval(t.Context(), script, []string{"key"}).StringSlice()
	if err != nil {
		t.Fatal(err)
	}
	if reply[0] != "table" || !strings.Contains(reply[1], "not supported") {
		t.Errorf("INFO replication gave a %s: %s", reply[0], reply[1])
	}
	if got := client.Get(t.Context(), "key").Val(); got != "written after" {
		t.Errorf("the script did not go on after INFO: %q", got)
	}
}
