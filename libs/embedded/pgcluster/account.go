package pgcluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Account is the user that Postgres runs as. The zero value is the user of this process.
type Account struct {
	name     string
	uid, gid uint32
	other    bool // another user than this process's own
}

// ServerAccount is the account for Postgres's files in cluster, a directory that need not exist yet.
func ServerAccount(cluster string) (Account, error) {
	if os.Geteuid() != 0 {
		return Account{}, nil
	}
	info, err := os.Stat(cluster)
	if err == nil {
		if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 {
			return Account{name: fmt.Sprintf("user %d", owner.Uid), uid: owner.Uid, gid: owner.Gid, other: true}, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return Account{}, fmt.Errorf("look for Postgres's data: %w", err)
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := lookup(name)
		if err == nil {
			return account, nil
		}
	}
	return Account{}, errors.New("postgres refuses to run as root, and there is no user postgres and no user nobody to run it as")
}

func lookup(name string) (Account, error) {
	found, err := user.Lookup(name)
	if err != nil {
		return Account{}, err
	}
	uid, err := strconv.ParseUint(found.Uid, 10, 32)
	if err != nil {
		return Account{}, fmt.Errorf("user id of %s: %w", name, err)
	}
	gid, err := strconv.ParseUint(found.Gid, 10, 32)
	if err != nil {
		return Account{}, fmt.Errorf("group id of %s: %w", name, err)
	}
	return Account{name: name, uid: uint32(uid), gid: uint32(gid), other: true}, nil
}

// Adopt makes cmd run under the account, with dir as its working directory and with nothing in its environment that
// would change what Postgres's programs do.
func (a Account) Adopt(cmd *exec.Cmd, dir string) {
	cmd.Dir = dir
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH"), "PWD=" + dir}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	if a.other {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
}

// own gives path to the account.
func (a Account) own(path string) error {
	if !a.other {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// barrier is the first directory on the way to dir, dir included, that the account can't enter; empty if there is none.
func (a Account) barrier(dir string) (string, error) {
	if !a.other {
		return "", nil
	}
	resolved, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	barrier := ""
	for at := resolved; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return "", err
		}
		if !a.enters(info) {
			barrier = at
		}
		if at == filepath.Dir(at) {
			return barrier, nil
		}
	}
}

func (a Account) enters(dir fs.FileInfo) bool {
	mode := dir.Mode().Perm()
	owner, ok := dir.Sys().(*syscall.Stat_t)
	switch {
	case ok && owner.Uid == a.uid:
		return mode&0o100 != 0
	case ok && owner.Gid == a.gid:
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}
