package fsx

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Pending is a file that grows beside its final name and takes that name at Commit. For content that comes piece by
// piece, or whose beginning depends on its end; Write is simpler where one function has it all.
type Pending struct {
	path string
	tmp  *os.File // nil after Commit or Abort
}

// Create opens a temporary file in the folder of path. Until Commit, whatever is at path stays as it is. A path that is
// there and no file is an error: a folder cannot be replaced, and /dev/null must not be, even by who may.
func Create(path string) (*Pending, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, Explain("create", path, errors.New(kindOf(info.Mode())+", want the path of a file"))
	}
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	tmp, err := os.CreateTemp(dir, "."+base+".tmp-")
	if err != nil {
		return nil, Explain("create", path, err)
	}
	return &Pending{path: path, tmp: tmp}, nil
}

func kindOf(m fs.FileMode) string {
	if m.IsDir() {
		return "it is a folder"
	}
	return "it is a device or a pipe"
}

// Write appends b. It is not buffered.
func (p *Pending) Write(b []byte) (int, error) {
	if p.tmp == nil {
		return 0, Explain("write", p.path, fs.ErrClosed)
	}
	n, err := p.tmp.Write(b)
	return n, Explain("write", p.path, err)
}

// WriteAt overwrites what lies at an offset, such as a size in a header.
func (p *Pending) WriteAt(b []byte, offset int64) (int, error) {
	if p.tmp == nil {
		return 0, Explain("write", p.path, fs.ErrClosed)
	}
	n, err := p.tmp.WriteAt(b, offset)
	return n, Explain("write", p.path, err)
}

// Commit makes the content durable and replaces path by it. On any error the temporary file is removed and path is
// untouched. Permissions of an existing file are kept, a new one gets 0644.
func (p *Pending) Commit() (err error) {
	if p.tmp == nil {
		return Explain("write", p.path, fs.ErrClosed)
	}
	defer func() {
		if err != nil {
			p.Abort()
		}
	}()
	mode := os.FileMode(0o644)
	if old, statErr := os.Stat(p.path); statErr == nil {
		mode = old.Mode().Perm()
	}
	if err = p.tmp.Chmod(mode); err != nil {
		return Explain("write", p.path, err)
	}
	if err = p.tmp.Sync(); err != nil {
		return Explain("write", p.path, err)
	}
	if err = p.tmp.Close(); err != nil {
		return Explain("write", p.path, err)
	}
	if err = os.Rename(p.tmp.Name(), p.path); err != nil {
		return Explain("replace", p.path, err)
	}
	p.tmp = nil
	return syncDir(filepath.Dir(p.path))
}

// Abort removes the temporary file. After Commit, or a second time, it does nothing; so it can be deferred.
func (p *Pending) Abort() {
	if p.tmp == nil {
		return
	}
	p.tmp.Close() // a second close is harmless
	os.Remove(p.tmp.Name())
	p.tmp = nil
}
