//go:build unix && !linux

package pgcluster

import (
	"os/exec"
	"strconv"
	"strings"
)

// isPostmaster says whether the process lives and is a Postgres server on this home's cluster, by its command line. A
// process id alone proves nothing, since the kernel uses ids again.
func (h Home) isPostmaster(pid int) bool {
	out, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), h.Cluster())
}
