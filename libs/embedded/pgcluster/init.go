package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// Role is the superuser of every cluster.
const Role = "littlevote"

// Init makes the home's cluster if it has none. The cluster appears whole or not at all, so a kill half way does no
// harm. With sync the files are on the disk before Init returns.
func (h Home) Init(ctx context.Context, programs Programs, sync bool) error {
	if exists(h.Cluster()) {
		return nil
	}
	if err := h.newPassword(); err != nil {
		return fmt.Errorf("write Postgres's password: %w", err)
	}
	making, err := h.MakeRoom("cluster.new")
	if err != nil {
		return err
	}
	args := []string{
		"--pgdata=" + making, "--username=" + Role, "--pwfile=" + h.passwordPath(), "--auth=scram-sha-256",
		"--encoding=UTF8", "--no-locale", "--no-instructions",
	}
	if !sync {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, programs.Path("initdb"), args...)
	h.Account.Adopt(cmd, h.Dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return os.Rename(making, h.Cluster())
}

// MakeRoom makes an empty directory in the home for one of Postgres's programs to fill, which then belongs to its
// account.
func (h Home) MakeRoom(name string) (string, error) {
	room := filepath.Join(h.Dir, name)
	if err := os.RemoveAll(room); err != nil {
		return "", err
	}
	if err := os.Mkdir(room, 0o700); err != nil {
		return "", err
	}
	return room, h.Account.own(room)
}

// removePidFile lets Postgres start where a postmaster left without removing its pid file.
func (h Home) removePidFile() error {
	err := os.Remove(h.pidPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (h Home) pidPath() string { return filepath.Join(h.Cluster(), "postmaster.pid") }
