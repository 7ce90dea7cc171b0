package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// resident is this process's resident size in bytes; the high-water mark starts again from there.
func resident() (int64, error) {
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		return 0, fmt.Errorf("the high-water mark of memory cannot be reset here (Linux can): %w", err)
	}
	return status("VmRSS:")
}

// highest is the high-water mark of the resident size in bytes since resident was called.
func highest() (int64, error) { return status("VmHWM:") }

func status(key string) (int64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("/proc/self/status has no " + key)
}
