package ticket

import (
	"crypto/sha256"

	"github.com/littlevote/littlevote/libs/config"
)

// Open loads the keys that ticket.key-file names. In development mode a missing name means a key that everybody knows,
// the same in every process, so that services started by hand understand each other.
func Open(file string, dev bool) (*Keys, error) {
	if file != "" {
		keys, err := LoadKeys(file)
		if err != nil {
			return nil, config.Errorf("ticket.key-file", "%v", err)
		}
		return keys, nil
	}
	if !dev {
		return nil, config.Errorf("ticket.key-file", "expected a file with a secret of at least 32 bytes; only with dev may it be missing")
	}
	secret := sha256.Sum256([]byte("the development key of Little Vote: no secret at all"))
	return NewKeys(secret[:])
}
