package ticket

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/testenv"
)

// replica is a process with a key file of its own.
type replica struct {
	*Keys

	file string
}

func newReplica(t *testing.T, secrets ...[]byte) *replica {
	t.Helper()
	r := &replica{file: filepath.Join(t.TempDir(), "keys")}
	r.write(t, secrets...)
	keys, err := LoadKeys(r.file)
	if err != nil {
		t.Fatal(err)
	}
	r.Keys = keys
	return r
}

func (r *replica) write(t *testing.T, secrets ...[]byte) {
	t.Helper()
	var lines []string
	for _, s := range secrets {
		lines = append(lines, hex.EncodeToString(s))
	}
	if err := errors.Join(os.WriteFile(r.file+".new", []byte(strings.Join(lines, "\n")), 0o600), os.Rename(r.file+".new", r.file)); err != nil {
		t.Fatal(err)
	}
}

// TestRotationTwiceUnderLoad exchanges the key twice by the rules of the order, in processes that read their files at different
// moments, while each of them mints what all the others check.
func TestRotationTwiceUnderLoad(t *testing.T) {
	secretC := []byte(strings.Repeat("c", 32))
	replicas := []*replica{newReplica(t, secretA), newReplica(t, secretA), newReplica(t, secretA)}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, r := range replicas {
		running.Go(func() { _ = r.Run(ctx, slog.New(slog.DiscardHandler)) })
	}
	var votes atomic.Int64
	for range 2 {
		running.Go(func() {
			for ctx.Err() == nil {
				from, to := replicas[rand.IntN(3)], replicas[rand.IntN(3)]
				if _, err := to.Verify(from.Mint(claims())); err != nil {
					t.Error("a ticket was refused")
					return
				}
				votes.Add(1)
			}
		})
	}
	// step writes what all files are to hold, and waits until all have read it: they then sign with the first.
	step := func(secrets ...[]byte) {
		t.Helper()
		before := make([]*ring, len(replicas))
		for i, r := range replicas {
			before[i] = r.inForce()
			r.write(t, secrets...)
		}
		testenv.Eventually(t, 30*time.Second, func() error {
			for i, r := range replicas {
				if r.inForce() == before[i] {
					return errors.New("a file was not read again")
				}
			}
			return nil
		})
		seen := votes.Load()
		testenv.Eventually(t, 30*time.Second, func() error {
			if votes.Load() < seen+100 {
				return errors.New("no votes")
			}
			return nil
		})
	}
	forged := newKeys(t, secretA).Mint(claims())
	step(secretA, secretB)
	step(secretB, secretA)
	if _, err := replicas[0].Verify(forged); err != nil {
		t.Error("a ticket of the key that is on its way out is refused")
	}
	step(secretB, secretC) // The end of one exchange is the beginning of the next.
	step(secretC, secretB)
	step(secretC)
	for _, r := range replicas {
		refused(t, r.Keys, forged)
		refused(t, r.Keys, newKeys(t, secretB).Mint(claims()))
	}
	stop()
	running.Wait()
}

// inForce is what is in force.
func (r *replica) inForce() *ring { return r.Keys.file.Now() }

func TestABrokenKeyFileLeavesTheOldKeys(t *testing.T) {
	r := newReplica(t, secretA)
	value := r.Mint(claims())
	if err := os.WriteFile(r.file, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, slog.New(slog.DiscardHandler)) }()
	testenv.Eventually(t, 30*time.Second, func() error {
		if !strings.Contains(r.Problem(), "ticket.key-file") {
			return errors.New("nobody is told")
		}
		return nil
	})
	if _, err := r.Verify(value); err != nil || strings.Contains(r.Problem(), "hunter2") {
		t.Errorf("%v, %q", err, r.Problem())
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
