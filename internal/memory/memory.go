// Package memory reads what memory this process has, from Linux's /proc. Other systems get an error.
package memory

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Usage is resident memory in bytes.
type Usage struct {
	Anonymous int64 // the process's own: tensors, heap, stacks
	Shared    int64 // pages of files and of shared memory: libraries, mapped checkpoints
	Peak      int64 // high-water mark of both together
}

// Now is the usage at this moment.
func Now() (Usage, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return Usage{}, fmt.Errorf("memory: %w", err)
	}
	return parse(string(text))
}

func parse(status string) (u Usage, err error) {
	sum := map[string]*int64{"RssAnon": &u.Anonymous, "RssFile": &u.Shared, "RssShmem": &u.Shared, "VmHWM": &u.Peak}
	found := 0
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		n := sum[key]
		if n == nil {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
		if err != nil {
			return Usage{}, fmt.Errorf("memory: /proc/self/status: %s: %w", key, err)
		}
		*n += kib << 10
		found++
	}
	if found < len(sum) {
		return Usage{}, fmt.Errorf("memory: /proc/self/status has %d of the %d keys RssAnon, RssFile, RssShmem and VmHWM", found, len(sum))
	}
	return u, nil
}

// ResetPeak lets the high-water mark start again from the present usage.
func ResetPeak() error {
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		return fmt.Errorf("memory: the high-water mark cannot be reset here (Linux can): %w", err)
	}
	return nil
}

// PeakAnonymous is the most anonymous memory since ResetPeak, taking the shared pages to have been as many as now.
func PeakAnonymous() (int64, error) {
	u, err := Now()
	return u.Peak - u.Shared, err
}
