package e2e

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/tools/e2e/internal/fixture"
	"github.com/littlevote/littlevote/tools/internal/process"
)

// TestS28S29S82PoolsBatchesAndPortsAreSettings tells littlevote up each of them, and wants to find it in what is in force. The
// pool of Redis has 3000 connections if nobody says anything else; 5000 can be had.
func TestS28S29S82PoolsBatchesAndPortsAreSettings(t *testing.T) {
	if got := inForce(t)["redis.pool-size"]; got != "3000" {
		t.Errorf("the pool of Redis has %s connections", got)
	}
	told := map[string]string{
		"redis.pool-size": "5000", "postgres.pool-size": "30", "gateway.votes.batch": "300", "gateway.reads.batch": "301",
		"gateway.likes.batch": "302", "vote.batch-votes": "500", "vote.batch-bytes": "70000", "persister.batch-records": "200",
		"persister.batch-votes": "2000", "listen": "127.0.0.1:8081", "vote.listen": "127.0.0.1:8112",
	}
	var flags []string
	for key, value := range told {
		flags = append(flags, "--"+strings.ReplaceAll(key, ".", "-")+"="+value)
	}
	got := inForce(t, flags...)
	maps.DeleteFunc(got, func(key, _ string) bool { return told[key] == "" })
	if diff := cmp.Diff(told, got); diff != "" {
		t.Errorf("in force (-want +got):\n%s", diff)
	}
}

// inForce asks littlevote up what it would run with: values by their full keys.
func inForce(t *testing.T, flags ...string) map[string]string {
	t.Helper()
	p := process.Start(t, process.Command{
		Name: "littlevote", Program: filepath.Join(fixture.Programs(t), "littlevote"), Dir: t.TempDir(), Args: append([]string{"up", "--print-config"}, flags...),
	})
	if code, err := p.Wait(20 * time.Second); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v:\n%s", code, err, p.Stderr())
	}
	found := map[string]string{}
	var path []string
	for line := range strings.Lines(p.Stdout()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		depth := (len(line) - len(strings.TrimLeft(line, " "))) / len("    ")
		path = append(path[:min(depth, len(path))], name)
		found[strings.Join(path, ".")] = strings.TrimSpace(value)
	}
	return found
}
