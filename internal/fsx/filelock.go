package fsx

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockPoll is how often a waiting LockFile looks again: flock has no wait that a context could end.
const lockPoll = 50 * time.Millisecond

// LockFile takes the lock of the file at path, created with its folder if needed, and waits for it as long as ctx lives.
// waiting, if not nil, is called once when another process or another LockFile of this one has it. The file stays after
// Release, so that all who wait do so on the same one.
func LockFile(ctx context.Context, path string, waiting func()) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, Explain("create", filepath.Dir(path), err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o664) // group members may share a cache
	if err != nil {
		return nil, Explain("lock", path, err)
	}
	for {
		err := flock(f)
		if err == nil {
			return &Lock{f}, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(Explain("lock", path, err), f.Close())
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-time.After(lockPoll):
		}
	}
}
