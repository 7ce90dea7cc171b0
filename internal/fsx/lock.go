package fsx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// lockName is the file that holds the lock and, as text, its owner's process id.
const lockName = ".lock"

// ErrLocked is wrapped by the error of Claim when another process owns the folder.
var ErrLocked = errors.New("in use by another process")

// ErrOccupied is wrapped by the error of Claim when the folder already holds results.
var ErrOccupied = errors.New("already holds results")

// Lock is the ownership of a run folder. It ends with Release or with the
// process, whichever comes first: a crash leaves nothing to clean up.
type Lock struct{ f *os.File }

// Claim makes dir (created if needed) this process's run folder. products are
// the entries that this run will make, e.g. "student"; when one of them exists,
// or with no products when the folder holds anything at all, the folder is
// occupied: an error that wraps ErrOccupied, unless resume is set. A folder in
// use by another process is an error that wraps ErrLocked, in any case.
func Claim(dir string, resume bool, products ...string) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, Explain("create", dir, err)
	}
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, Explain("lock", dir, err)
	}
	if err := flock(f); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, Explain("lock", dir, err)
		}
		owner := make([]byte, 20)
		n, _ := f.ReadAt(owner, 0) // the id is a courtesy; without it the error still says enough
		if pid := strings.TrimSpace(string(owner[:n])); pid != "" {
			return nil, fmt.Errorf("run folder %s: %w (process %s)", dir, ErrLocked, pid)
		}
		return nil, fmt.Errorf("run folder %s: %w", dir, ErrLocked)
	}
	l := &Lock{f}
	if !resume {
		if err := vacant(dir, products); err != nil {
			return nil, errors.Join(err, l.Release())
		}
	}
	if err := errors.Join(f.Truncate(0), writePID(f)); err != nil {
		return nil, errors.Join(Explain("lock", dir, err), l.Release())
	}
	return l, nil
}

// Release gives the folder up. The lock file stays: removing it would let a
// third process lock a new file of the same name beside a waiting second one.
func (l *Lock) Release() error { return l.f.Close() }

func writePID(f *os.File) error {
	_, err := f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}

// flock takes the exclusive lock without waiting. The Go runtime's signals
// (preemption) may interrupt the call.
func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func vacant(dir string, products []string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if name == lockName || len(products) > 0 && !slices.Contains(products, name) {
			continue
		}
		return fmt.Errorf("run folder %s %w (%s): continue it with -resume or choose another with -run", dir, ErrOccupied, name)
	}
	return nil
}
