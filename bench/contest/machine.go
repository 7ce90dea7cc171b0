package contest

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Machine names the CPU and the load.
func Machine(threads int) string {
	cpu := runtime.GOARCH
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("machine: %s, %d CPUs, load %s; %d threads each", cpu, runtime.NumCPU(), load(), threads)
}

// load is the average of the last minute; "unknown" where the system does not tell it.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(b)); err == nil && len(f) > 0 {
		return f[0]
	}
	return "unknown"
}
