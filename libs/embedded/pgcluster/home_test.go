package pgcluster_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/littlevote/littlevote/libs/embedded/pgcluster"
)

func TestChoosePrefersTheFirstForAnEmptyHome(t *testing.T) {
	home := pgcluster.Home{Dir: t.TempDir()}
	got, err := home.Choose([]pgcluster.Programs{{Dir: "/a", Major: 15}, {Dir: "/b", Major: 18}})
	if err != nil || got.Dir != "/a" {
		t.Errorf("chose %q, %v", got.Dir, err)
	}
}

func TestChooseTakesTheVersionThatMadeTheData(t *testing.T) {
	home := pgcluster.Home{Dir: t.TempDir()}
	if err := os.Mkdir(home.Cluster(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home.Cluster(), "PG_VERSION"), []byte("16\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := home.Choose([]pgcluster.Programs{{Dir: "/new", Major: 18}, {Dir: "/right", Major: 16}})
	if err != nil || got.Dir != "/right" {
		t.Errorf("chose %q, %v", got.Dir, err)
	}
	if _, err := home.Choose([]pgcluster.Programs{{Dir: "/new", Major: 18}}); !errors.Is(err, pgcluster.ErrNotInstalled) {
		t.Errorf("only another version is there: %v", err)
	}
}

// A home whose data was moved and then deleted must not turn into an empty one without a word.
func TestOpenHomeRefusesWhenTheMovedDataIsGone(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "moved-to"), []byte("/nowhere/postgres-x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if home, err := pgcluster.OpenHome(dir); err == nil {
		t.Errorf("opened %s", home.Dir)
	}
}
