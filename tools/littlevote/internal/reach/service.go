package reach

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Service returns the address of a service as a running `up` says it; empty if none says so.
func Service(dataDir, name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dataDir, AddressFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if address, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			return address, nil
		}
	}
	return "", nil
}
