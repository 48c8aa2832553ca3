package deps

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
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
	const state, threads, startTime = 0, 17, 19 // counted from the third field on
	if len(fields) <= startTime {
		return "", fmt.Errorf("/proc/%d/stat has only %d fields", pid, len(fields))
	}
	// A process that is killed is a zombie as soon as its first thread has ended. While it has others, it may still hold
	// its ports and its locks.
	if left, err := strconv.Atoi(fields[threads]); err != nil || (fields[state] == "Z" && left <= 1) {
		return "", errors.Join(errors.New("the process has ended"), err)
	}
	return strings.TrimSpace(string(boot)) + " " + fields[startTime], nil
}
