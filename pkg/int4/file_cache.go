package int4

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/qat"
)

// Cached is the interleaved file of the packed checkpoint in dir: [FileName] in that folder, made by the first who asks
// for it, and made again where it is stale, cut, damaged or of another format. Where it cannot be written, as in a
// read-only folder, the matrices are made in memory, and File.Uncached says why.
//
// Whether it is stale is told by its stamp: names, sizes, modification times and inodes of the checkpoint's weight files
// and config.json when the file was made. With an equal stamp none of their bytes are read. With another one (the folder
// was copied, or something has changed) the tensors that the matrices were made of are hashed and compared with the
// index; if they are the same, the file gets the new stamp and stays. What has changed inside a file behind the stamp's
// back, only [File.Verify] and [File.VerifySource] see.
//
// Several processes may call it at once: each that finds no file makes one, and renaming puts a whole one there.
func Cached(dir string) (*File, error) {
	path := filepath.Join(dir, FileName)
	f, err := fresh(path, dir)
	if f != nil || err != nil {
		return f, err
	}
	switch err := BuildFile(path, dir); {
	case err == nil:
		f, err := OpenFile(path)
		return f, err
	case !unwritable(err):
		return nil, err
	default:
		f, made := inMemory(dir)
		if made != nil {
			return nil, made
		}
		f.Uncached = err
		return f, nil
	}
}

// fresh is the file at path if it is one of the checkpoint in dir as it is; nil if it has to be made.
func fresh(path, dir string) (*File, error) {
	f, err := openFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errInvalid), errors.Is(err, fs.ErrPermission):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("int4: %s: %w", path, err)
	}
	stamp, err := stampOf(dir)
	if err != nil {
		f.Close()
		return nil, err
	}
	if stamp == f.head.stamp {
		return f, nil
	}
	if err := f.VerifySource(dir); err != nil {
		f.Close()
		if errors.Is(err, errStale) {
			return nil, nil
		}
		return nil, err
	}
	f.setStamp(stamp)
	return f, nil
}

// Stamped tells whether the file has the stamp of the checkpoint in dir as it is; see Cached.
func (f *File) Stamped(dir string) (bool, error) {
	stamp, err := stampOf(dir)
	return stamp == f.head.stamp, err
}

// unwritable tells whether an error is about writing to a folder, not about what is written.
func unwritable(err error) bool {
	for _, e := range []error{fs.ErrPermission, syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// setStamp writes the stamp into the file. Where that fails, the next who opens it has to compare again.
func (f *File) setStamp(stamp [sha256.Size]byte) {
	w, err := os.OpenFile(fmt.Sprintf("/dev/fd/%d", f.file.Fd()), os.O_WRONLY, 0) // this very file
	if err != nil {
		return
	}
	defer w.Close()
	if _, err := w.WriteAt(stamp[:], stampAt); err == nil {
		f.head.stamp = stamp
	}
}

var errStale = errors.New("stale")

// VerifySource reads the checkpoint's quantized tensors and tells whether the file was made of just these. The error
// names what differs.
func (f *File) VerifySource(dir string) error {
	src, err := openSource(dir)
	if err != nil {
		return err
	}
	defer src.Close()
	hashes := map[string]string{}
	for _, l := range f.head.index.Layers {
		hashes[l.Path] = l.Source
	}
	for _, o := range f.head.index.Others {
		hashes[o.Path] = o.Source
	}
	if len(hashes) != len(src.layers) {
		return fmt.Errorf("int4: %s is %w: made of %d layers, %s has %d", f.path, errStale, len(hashes), dir, len(src.layers))
	}
	errs := make([]error, len(src.layers))
	var differ atomic.Bool
	each(len(src.layers), tensor.Threads(), func(i int) {
		l := src.layers[i]
		if differ.Load() {
			return
		}
		t, err := src.read(l)
		if err == nil && (t.hash != hashes[l.Path] || !f.same(l)) {
			err = fmt.Errorf("int4: %s is %w: %s is another layer in %s", f.path, errStale, l.Path, dir)
		}
		if errs[i] = err; err != nil {
			differ.Store(true)
		}
	})
	return errors.Join(errs...)
}

// same tells whether the file describes the layer as the checkpoint's configuration does.
func (f *File) same(l qat.LayerPlan) bool {
	have := f.layers[l.Path]
	return have == nil || have.Rows == l.Out && have.Cols == l.In && have.Weight == l.Weight.Normal() && have.Activation == l.Activation.Normal()
}

// stampOf is a hash of what the system says of the checkpoint's files.
func stampOf(dir string) (sum [sha256.Size]byte, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return sum, fmt.Errorf("int4: %w", err)
	}
	var lines []string
	for _, e := range entries {
		if name := e.Name(); name == "config.json" || strings.HasSuffix(name, ".safetensors") {
			info, err := os.Stat(filepath.Join(dir, name)) // of what a link leads to
			if err != nil {
				return sum, fmt.Errorf("int4: %w", err)
			}
			lines = append(lines, fmt.Sprintf("%q %d %d %d\n", name, info.Size(), info.ModTime().UnixNano(), inode(info)))
		}
	}
	slices.Sort(lines)
	return sha256.Sum256([]byte(strings.Join(lines, ""))), nil
}

func inode(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

// inMemory is what the file would be, in memory of this process.
func inMemory(dir string) (*File, error) {
	b, err := newBuild(dir)
	if err != nil {
		return nil, err
	}
	defer b.src.Close()
	head, err := b.index.encode(b.stamp)
	if err != nil {
		return nil, err
	}
	size := b.index.place(int64(len(head) - indexAt))
	data, err := syscall.Mmap(-1, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("int4: the system refuses %d bytes: %w", size, err)
	}
	if err := b.write(room(data)); err != nil {
		return nil, errors.Join(err, syscall.Munmap(data))
	}
	f := newFile(filepath.Join(dir, FileName), &header{b.index, b.stamp})
	f.data = data
	return f, nil
}

// room is memory to be written like a file.
type room []byte

func (r room) WriteAt(p []byte, at int64) (int, error) { return copy(r[at:], p), nil }
