package fsx

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// bufferSize is one large write per megabyte: small tensors are merged, large
// ones pass through untouched.
const bufferSize = 1 << 20

// Write replaces the file at path by what fill writes. The old content stays
// whole until the new one is on the disk; on any error the temporary file is
// removed and the old file is untouched. Permissions of an existing file are
// kept, a new one gets 0644.
func Write(path string, fill func(w io.Writer) error) error {
	p, err := Create(path)
	if err != nil {
		return err
	}
	defer p.Abort()
	w := bufio.NewWriterSize(p.tmp, bufferSize)
	if err := fill(w); err != nil {
		return Explain("write", path, err)
	}
	if err := w.Flush(); err != nil {
		return Explain("write", path, err)
	}
	return p.Commit()
}

// WriteBytes replaces the file at path by data, atomically (see Write).
func WriteBytes(path string, data []byte) error {
	return Write(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// CopyFile writes a copy of the file src to dst, atomically (see Write).
func CopyFile(dst, src string) error {
	f, err := os.Open(src)
	if err != nil {
		return err
	}
	defer f.Close()
	return Write(dst, func(w io.Writer) error {
		_, err := io.Copy(w, f)
		return err
	})
}

// Count calls f with a writer to w and says how many bytes f has written.
func Count(w io.Writer, f func(io.Writer) error) (n int64, err error) {
	c := &counter{w: w}
	err = f(c)
	return c.n, err
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// Explain names the file in err once and says "disk full" where the cause is
// one: a bare "no space left on device" does not tell a user which file failed
// or how much room is left. errors.Is(err, syscall.ENOSPC) keeps working.
func Explain(verb, path string, err error) error {
	if err == nil {
		return nil
	}
	var pathErr *os.PathError
	var linkErr *os.LinkError
	switch { // the temporary name means nothing to the reader; another file's name does
	case errors.As(err, &pathErr) && ours(pathErr.Path, path):
		err = pathErr.Err
	case errors.As(err, &linkErr) && ours(linkErr.Old, path):
		err = linkErr.Err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		if free, ok := DiskFree(filepath.Dir(path)); ok {
			return fmt.Errorf("%s %s: disk full (%d MiB free): %w", verb, path, free>>20, err)
		}
		return fmt.Errorf("%s %s: disk full: %w", verb, path, err)
	}
	return fmt.Errorf("%s %s: %w", verb, path, err)
}

// ours tells whether name is path or its temporary file or folder.
func ours(name, path string) bool {
	return name == path || strings.HasPrefix(filepath.Base(name), "."+filepath.Base(path)+".tmp-")
}

// DiskFree returns the bytes that an ordinary user may still write in dir;
// ok is false where the file system does not tell.
func DiskFree(dir string) (bytes uint64, ok bool) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return uint64(st.Bavail) * uint64(st.Bsize), true
}

// syncDir makes a rename in dir durable. File systems that refuse fsync on a
// folder (EINVAL) order their renames themselves.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return Explain("sync", dir, err)
	}
	return nil
}
