package e2e

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is what the paths of all own packages begin with.
const module = "github.com/littlevote/littlevote/"

// TestS18S78LayersKnowOnlyWhatIsBelow reads the imports of everything that runs. The gateway has no store, services have nothing
// of one another but contracts, and tickets, votes and the producer's lock know nothing of each other's insides: the lock is
// within the ticket-service, and who gives tickets out there does not know it either.
func TestS18S78LayersKnowOnlyWhatIsBelow(t *testing.T) {
	t.Parallel()
	stores := []string{"libs/redisledger", "libs/pgledger", "libs/events", "libs/epoch"}
	for _, layer := range []struct {
		folder string
		may    []string // begin with one of these
		not    []string
	}{
		{folder: "proto", may: []string{"proto"}},
		{folder: "libs", may: []string{"libs", "proto"}},
		{folder: "libs/ticket", may: []string{"libs/ticket", "libs/config", "libs/reload"}},
		// The gateway counts requests in Redis, and connects to it at its entrance; it knows nothing of the ledgers.
		{folder: "gateway", may: []string{"gateway", "libs", "proto"}, not: []string{"libs/pgledger", "libs/events", "libs/epoch"}},
		{folder: "gateway/internal", may: []string{"gateway", "libs", "proto"}, not: stores},
		{folder: "services/ticket-service", may: []string{"services/ticket-service", "libs", "proto"}, not: []string{"libs/events"}},
		{folder: "services/ticket-service/internal/lock", may: []string{"services/ticket-service/internal/lock", "libs"}, not: append([]string{"libs/ticket"}, stores...)},
		{folder: "services/ticket-service/internal/tickets", may: []string{"services/ticket-service", "libs", "proto"}, not: []string{"services/ticket-service/internal/lock", "services/ticket-service/internal/mint"}},
		{folder: "services/vote-service", may: []string{"services/vote-service", "libs", "proto"}},
		{folder: "services/query-service", may: []string{"services/query-service", "libs", "proto"}, not: []string{"libs/events"}},
		{folder: "services/persister", may: []string{"services/persister", "libs", "proto"}, not: []string{"libs/redisledger"}},
		{folder: "services/blog-service", may: []string{"services/blog-service", "libs", "proto"}, not: []string{"libs/events", "libs/epoch"}},
	} {
		files := 0
		for file, imports := range importsIn(t, filepath.Join("..", "..", filepath.FromSlash(layer.folder))) {
			files++
			for _, path := range imports {
				own, is := strings.CutPrefix(path, module)
				under := func(prefix string) bool { return own == prefix || strings.HasPrefix(own, prefix+"/") }
				if is && (!slices.ContainsFunc(layer.may, under) || slices.ContainsFunc(layer.not, under)) {
					t.Errorf("%s imports %s", file, own)
				}
			}
		}
		if files == 0 {
			t.Errorf("nothing in %s", layer.folder)
		}
	}
}

// importsIn lists what the files under a folder import, tests left out.
func importsIn(t *testing.T, folder string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		found[path] = nil
		for _, one := range file.Imports {
			name, err := strconv.Unquote(one.Path.Value)
			if err != nil {
				return err
			}
			found[path] = append(found[path], name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
