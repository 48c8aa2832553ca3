package pgcluster

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// movedTo is the file that names the place where a home is when it can't be where it was asked for.
const movedTo = "moved-to"

// elsewhere is where homes go whose own place Postgres's account can't reach. Only root needs it.
const elsewhere = "/var/lib/littlevote"

// Home is the directory that holds all that belongs to one Postgres server.
type Home struct {
	Dir     string
	Account Account
}

// OpenHome makes or finds the home that is asked for at dir. Its Dir is another one if Postgres's account can't reach
// dir; see the package's documentation.
func OpenHome(dir string) (Home, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Home{}, err
	}
	if err := makeDir(dir); err != nil {
		return Home{}, err
	}
	moved, err := readMoved(dir)
	if err != nil {
		return Home{}, err
	}
	if moved != "" {
		dir = moved
	}
	account, err := ServerAccount(filepath.Join(dir, "cluster"))
	if err != nil {
		return Home{}, err
	}
	barrier, err := account.barrier(dir)
	if err != nil {
		return Home{}, err
	}
	switch {
	case barrier == "":
		return Home{Dir: dir, Account: account}, nil
	case moved != "" || exists(filepath.Join(dir, "cluster")):
		return Home{}, fmt.Errorf("postgres runs as %s here, which can't enter %s, so it can't use its data in %s", account.name, barrier, dir)
	}
	moved, err = move(dir)
	if err != nil {
		return Home{}, fmt.Errorf("postgres runs as %s here, which can't enter %s, so its data can't be in %s; the place for it then is %s, but: %w",
			account.name, barrier, dir, elsewhere, err)
	}
	return Home{Dir: moved, Account: account}, nil
}

// Cluster is the directory that initdb makes.
func (h Home) Cluster() string { return filepath.Join(h.Dir, "cluster") }

// LockPath is the file whose lock the process that runs the server holds.
func (h Home) LockPath() string { return filepath.Join(h.Dir, "lock") }

// OpenLog opens an empty log for the server's output and keeps the one before.
func (h Home) OpenLog() (*os.File, error) {
	path := h.logPath()
	if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// LogTail is the end of the server's log, for an error message.
func (h Home) LogTail() string {
	const most = 2000
	text, err := os.ReadFile(h.logPath())
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-most):]))
}

func (h Home) logPath() string { return filepath.Join(h.Dir, "postgres.log") }

func (h Home) passwordPath() string { return filepath.Join(h.Dir, "password") }

// Password is that of the role littlevote.
func (h Home) Password() (string, error) {
	text, err := os.ReadFile(h.passwordPath())
	if err != nil {
		return "", fmt.Errorf("read Postgres's password: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// newPassword writes a password that Postgres's account can read, and nobody else.
func (h Home) newPassword() error {
	path := h.passwordPath()
	if err := os.WriteFile(path, []byte(rand.Text()+"\n"), 0o600); err != nil {
		return err
	}
	return h.Account.own(path)
}

func readMoved(dir string) (string, error) {
	path := filepath.Join(dir, movedTo)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	moved := strings.TrimSpace(string(text))
	if !exists(moved) {
		return "", fmt.Errorf("%s says that Postgres's data is in %s, which is not there; remove %s to begin with an empty database", path, moved, path)
	}
	return moved, nil
}

// move makes a home under elsewhere and writes its name down in dir.
func move(dir string) (string, error) {
	if err := makeDir(elsewhere); err != nil {
		return "", err
	}
	moved, err := os.MkdirTemp(elsewhere, "postgres-")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(moved, 0o755); err != nil {
		return "", err
	}
	// Written aside and renamed, so that no start finds half a name.
	path := filepath.Join(dir, movedTo)
	if err := os.WriteFile(path+".new", []byte(moved+"\n"), 0o644); err != nil {
		return "", err
	}
	return moved, os.Rename(path+".new", path)
}

// makeDir makes a directory that others can enter, whatever the umask.
func makeDir(dir string) error {
	if exists(dir) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
