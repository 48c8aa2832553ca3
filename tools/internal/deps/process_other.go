//go:build unix && !linux

package deps

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
)

// markOf is the moment at which a running process was started.
func markOf(pid int) (string, error) {
	out, err := exec.Command("ps", "-o", "state=,lstart=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return "", err
	}
	state, started, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if strings.HasPrefix(state, "Z") {
		return "", errors.New("the process has ended")
	}
	return strings.TrimSpace(started), nil
}
