package pgcluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// oldest is the first version of Postgres that will do.
const oldest = 14

// ErrNotInstalled says that this machine has no Postgres server that will do.
var ErrNotInstalled = errors.New("no Postgres server is installed")

// Programs is one installation of Postgres.
type Programs struct {
	Dir   string // holds initdb, postgres and the rest
	Major int
}

// Path is where a program of the installation is.
func (p Programs) Path(name string) string { return filepath.Join(p.Dir, name) }

// usualPlaces is where servers are installed without being on PATH.
func usualPlaces() []string {
	return []string{
		"/usr/lib/postgresql/*/bin",          // Debian and Ubuntu
		"/usr/pgsql-*/bin",                   // Red Hat, from postgresql.org
		"/usr/libexec/postgresql*",           // Alpine
		"/opt/homebrew/opt/postgresql@*/bin", // Homebrew
		"/usr/local/opt/postgresql@*/bin",    // Homebrew on Intel
		"/Library/PostgreSQL/*/bin",          // the installer for macOS
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	}
}

// Installed lists the installations that will do: the one on PATH, then the others, newest first.
func Installed(ctx context.Context) []Programs {
	var onPath, others []Programs
	if path, err := exec.LookPath("postgres"); err == nil {
		onPath = appendUsable(ctx, onPath, path)
	}
	for _, place := range usualPlaces() {
		// The patterns are constants, and a bad pattern is the only error.
		found, _ := filepath.Glob(filepath.Join(place, "postgres"))
		for _, path := range found {
			others = appendUsable(ctx, others, path)
		}
	}
	slices.SortStableFunc(others, func(a, b Programs) int { return cmp.Compare(b.Major, a.Major) })
	return append(onPath, others...)
}

// appendUsable appends the installation that the program postgres at path belongs to, unless it is broken or too old.
func appendUsable(ctx context.Context, all []Programs, path string) []Programs {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return all
	}
	programs, err := At(ctx, filepath.Dir(resolved))
	if err != nil || programs.Major < oldest {
		return all
	}
	return append(all, programs)
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// At looks at the installation in dir.
func At(ctx context.Context, dir string) (Programs, error) {
	programs := Programs{Dir: dir}
	if _, err := os.Stat(programs.Path("initdb")); err != nil {
		return Programs{}, err
	}
	out, err := exec.CommandContext(ctx, programs.Path("postgres"), "--version").Output()
	if err != nil {
		return Programs{}, fmt.Errorf("%s --version: %w", programs.Path("postgres"), err)
	}
	found := versionPattern.FindSubmatch(out)
	if found == nil {
		return Programs{}, fmt.Errorf("%s --version says %q", programs.Path("postgres"), out)
	}
	programs.Major, err = strconv.Atoi(string(found[1]))
	return programs, err
}

// Choose picks the installation for the home: the first one for an empty home, else the one that made its data, since
// no other can read that. Without any it returns ErrNotInstalled.
func (h Home) Choose(installed []Programs) (Programs, error) {
	made, err := h.madeBy()
	if err != nil {
		return Programs{}, err
	}
	for _, programs := range installed {
		if made == 0 || programs.Major == made {
			return programs, nil
		}
	}
	if made != 0 {
		return Programs{}, fmt.Errorf("%w that can read %s, which was made by version %d", ErrNotInstalled, h.Cluster(), made)
	}
	return Programs{}, ErrNotInstalled
}

// madeBy is the version of Postgres that made the home's data, or 0 if there is none yet.
func (h Home) madeBy() (int, error) {
	text, err := os.ReadFile(filepath.Join(h.Cluster(), "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}
