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
	return fmt.Sprintf("machine: %s, %d CPUs, load %s; %d threads each", cpu, runtime.NumCPU(), load(3), threads)
}

// load is the first n averages, of the last 1, 5 and 15 minutes; "unknown" where the system does not tell them.
func load(n int) string {
	b, err := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(b)); err == nil && len(f) >= n {
		return strings.Join(f[:n], " ")
	}
	return "unknown"
}
