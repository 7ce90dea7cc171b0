package contest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Realtime gives all threads of the processes, and those that they start, priority over ordinary programs.
func Realtime(pids ...int) error {
	return schedule(unix.SchedAttr{Policy: unix.SCHED_FIFO, Priority: 10}, pids)
}

// Ordinary takes it away again.
func Ordinary(pids ...int) error { return schedule(unix.SchedAttr{Policy: unix.SCHED_NORMAL}, pids) }

func schedule(attr unix.SchedAttr, pids []int) error {
	attr.Size = unix.SizeofSchedAttr
	for _, pid := range pids {
		tasks, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "task"))
		if err != nil {
			return err
		}
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			if err != nil {
				return err
			}
			if err := unix.SchedSetAttr(tid, &attr, 0); err != nil && !errors.Is(err, unix.ESRCH) { // it may have ended
				return fmt.Errorf("thread %d of process %d: %w", tid, pid, err)
			}
		}
	}
	return nil
}
