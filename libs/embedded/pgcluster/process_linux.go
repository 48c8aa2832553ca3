package pgcluster

import (
	"fmt"
	"os"
	"path/filepath"
)

// isPostmaster says whether the process lives and is a Postgres server on this home's cluster: a postmaster's working
// directory is its cluster. A process id alone proves nothing, since the kernel uses ids again.
func (h Home) isPostmaster(pid int) bool {
	at, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return false // Gone, or not ours to look at, so not ours to stop.
	}
	cluster, err := filepath.EvalSymlinks(h.Cluster())
	return err == nil && at == cluster
}
