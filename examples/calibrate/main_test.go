package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/qakd/qakd/pkg/experiment"
)

// A comparison and damages are different work: asking for both is a mistake, and begins no run.
func TestOneThingAtATime(t *testing.T) {
	args := os.Args
	defer func() { os.Args = args }()
	for _, other := range [][]string{{"-budget", "1MiB"}, {"-sensitivity"}} {
		dir := filepath.Join(t.TempDir(), "run")
		os.Args = append([]string{"calibrate", "-compare", "rtn", "-set", "threads=1", "-run", dir}, other...)
		if code := program().Main(); code != experiment.ExitUsage {
			t.Errorf("%v: exit code %d, want %d", other, code, experiment.ExitUsage)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%v: %s was begun", other, dir)
		}
	}
}
