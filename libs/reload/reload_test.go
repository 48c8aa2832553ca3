package reload

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/testenv"
)

func number(contents [][]byte) (int, error) {
	total := 0
	for _, text := range contents {
		n, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return 0, errors.New("expected a number")
		}
		total += n
	}
	return total, nil
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFilesAreReadAgain(t *testing.T) {
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	write(t, one, "1")
	write(t, two, "10")
	v, err := Open("a.files", number, one, two)
	if err != nil || v.Now() != 11 {
		t.Fatal(v, err)
	}
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, nil))
	look := func() { v.look(t.Context(), log) }

	write(t, two, "20")
	look()
	if v.Now() != 21 || v.Problem() != "" {
		t.Errorf("after a change: %d, %q", v.Now(), v.Problem())
	}

	write(t, two, "secret")
	look()
	if v.Problem() != "" {
		t.Error("one look is enough to complain, though the file may be half written")
	}
	for range 3 {
		look()
	}
	if v.Now() != 21 || !strings.Contains(v.Problem(), "a.files") || !strings.Contains(logged.String(), "expected a number") {
		t.Errorf("with a broken file: %d, %q", v.Now(), v.Problem())
	}
	if n := strings.Count(logged.String(), "level=ERROR"); n != 1 || strings.Contains(logged.String(), "secret") {
		t.Errorf("%d complaints, want one without the content:\n%s", n, logged.String())
	}

	if err := os.Remove(two); err != nil {
		t.Fatal(err)
	}
	look()
	look()
	if v.Now() != 21 || v.Problem() == "" || !strings.Contains(logged.String(), "no such file") {
		t.Errorf("without the file: %d, %q", v.Now(), v.Problem())
	}

	write(t, two, "20")
	look()
	if v.Now() != 21 || v.Problem() != "" {
		t.Errorf("mended: %d, %q", v.Now(), v.Problem())
	}
}

// TestSymbolicLinks exchanges files as Kubernetes does: a link to a folder is swapped.
func TestSymbolicLinks(t *testing.T) {
	dir := t.TempDir()
	put := func(version, text string) {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version, "key"), text)
		if err := os.Symlink(version, filepath.Join(dir, "..new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	put("..1", "1")
	if err := os.Symlink("..data/key", filepath.Join(dir, "key")); err != nil {
		t.Fatal(err)
	}
	v, err := Open("key", number, filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- v.Run(ctx, slog.New(slog.DiscardHandler)) }()
	put("..2", "2")
	testenv.Eventually(t, 20*time.Second, func() error {
		if v.Now() != 2 {
			return errors.New("the new file is not in force")
		}
		return nil
	})
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestLookIsSeldom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "1")
	v, err := Open("file", number, path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, "2")
	log := slog.New(slog.DiscardHandler)
	if v.Look(t.Context(), log); v.Now() != 1 {
		t.Error("a look right after the last one has read")
	}
	v.looked = v.looked.Add(-Every)
	if v.Look(t.Context(), log); v.Now() != 2 {
		t.Error("a look after a second has not read")
	}
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	large, none := filepath.Join(dir, "large"), filepath.Join(dir, "none")
	write(t, large, strings.Repeat("1", maxSize+1))
	for path, want := range map[string]string{large: "at most", none: "no such file"} {
		if _, err := Open("x", number, path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}
