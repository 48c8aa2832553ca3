package up

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/littlevote/littlevote/libs/certified"

	"github.com/littlevote/littlevote/tools/littlevote/internal/reach"
)

// signKeyFile stands in the data directory: the key that certified results are signed with.
const signKeyFile = "result.key.pem"

// ensureSignKey makes it at the first start, and beside it the one that anybody checks results with.
func ensureSignKey(dir string) (string, error) {
	file := filepath.Join(dir, signKeyFile)
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	private, public, err := certified.MakeKey()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, reach.ResultKeyFile), public, 0o600)
	}
	if err == nil { // the last, since it is what says that both are there
		err = os.WriteFile(file, private, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("key of the results: %w", err)
	}
	return file, nil
}
