package up

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/littlevote/littlevote/libs/certified"
)

// What stands in the data directory: the key that certified results are signed with, and the one that anybody checks them with.
const (
	signKeyFile       = "result.key.pem"
	signPublicKeyFile = "result.public.pem"
)

// ensureSignKey makes both files at the first start, and returns the first.
func ensureSignKey(dir string) (string, error) {
	file := filepath.Join(dir, signKeyFile)
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	private, public, err := certified.MakeKey()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, signPublicKeyFile), public, 0o600)
	}
	if err == nil { // the last, since it is what says that both are there
		err = os.WriteFile(file, private, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("key of the results: %w", err)
	}
	return file, nil
}
