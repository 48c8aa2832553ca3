//go:build !linux

package servers

import (
	"errors"

	"github.com/littlevote/littlevote/tools/internal/scope"
)

// MountSmall has nothing to make a small disk of.
func MountSmall(scope.Scope, string, int) error { return errors.New("a small disk needs Linux") }

// Fill is for small disks only.
func Fill(t scope.Scope, _ string) (free func()) {
	t.Fatal("there is no small disk")
	return nil
}
