package deps

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
)

// markOf is the moment at which a running process was started: the boot, and the clock ticks since.
func markOf(pid int) (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The second field, the command's name in parentheses, may hold anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const state, startTime = 0, 19 // counted from the third field on
	if len(fields) <= startTime {
		return "", fmt.Errorf("/proc/%d/stat has only %d fields", pid, len(fields))
	}
	if fields[state] == "Z" {
		return "", errors.New("the process has ended")
	}
	return strings.TrimSpace(string(boot)) + " " + fields[startTime], nil
}
