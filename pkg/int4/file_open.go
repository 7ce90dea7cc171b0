package int4

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/qakd/qakd/internal/tensor"
)

// File is an opened interleaved file: its matrices are views of the mapped pages, which all processes that map the file
// share. The pages come from the disk when they are first used.
type File struct {
	// Uncached tells why the matrices are in memory of this process and in no file; nil for a mapped file. See Cached.
	Uncached error

	path   string
	head   *header
	layers map[string]*Layer
	file   *os.File // nil where Uncached
	data   []byte
}

// OpenFile maps an interleaved file. It reads and checks the header: format, length, the hash of the index, and that the
// matrices fill the file; their bytes are not looked at ([File.Verify] does). A file that does not pass is an error. It
// must not be changed in place while it is open; [Cached] and [BuildFile] replace files by renaming.
func OpenFile(path string) (*File, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("int4: %s: %w", path, err)
	}
	return f, nil
}

func openFile(path string) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err) // the caller names the file
	}
	f, err := mapped(path, file)
	if err != nil {
		file.Close()
		return nil, err
	}
	return f, nil
}

func mapped(path string, file *os.File) (*File, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	head, err := readHeader(file, info.Size())
	if err != nil {
		return nil, err
	}
	data, err := syscall.Mmap(int(file.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map: %w", err)
	}
	f := newFile(path, head)
	f.file, f.data = file, data
	return f, nil
}

func newFile(path string, head *header) *File {
	f := &File{path: path, head: head, layers: make(map[string]*Layer, len(head.index.Layers))}
	for i := range head.index.Layers {
		l := &head.index.Layers[i]
		f.layers[l.Path] = l
	}
	return f
}

// Path is where the file lies.
func (f *File) Path() string { return f.path }

// Bytes is the length of the file.
func (f *File) Bytes() int64 { return int64(len(f.data)) }

// Layers are the matrices in the order of the file; the list is the file's own.
func (f *File) Layers() []Layer { return f.head.index.Layers }

// Others are the quantized layers of the checkpoint that this package's kernels cannot compute with; the list is the file's own.
func (f *File) Others() []Other { return f.head.index.Others }

// Matrix is the matrix of a projection as it lies in the file, valid until Close; nil where the file has none.
func (f *File) Matrix(path string) (*Matrix, error) {
	l := f.layers[path]
	if l == nil {
		return nil, nil
	}
	if f.data == nil {
		return nil, errClosed
	}
	m, err := At(f.strips(l), l.Rows, l.Cols, l.Weight)
	if err == nil {
		err = m.SetInput(l.Activation, l.InputScale)
	}
	if err != nil {
		return nil, fmt.Errorf("int4: %s: %s: %w", f.path, path, err)
	}
	return m, nil
}

func (f *File) strips(l *Layer) []byte { return f.data[l.Offset : l.Offset+l.Bytes : l.Offset+l.Bytes] }

// Verify reads all of the file and compares each matrix with its hash. The error names those that are damaged.
func (f *File) Verify() error {
	if f.data == nil {
		return errClosed
	}
	layers := f.Layers()
	errs := make([]error, len(layers))
	each(len(layers), tensor.Threads(), func(i int) {
		if sum := sha256.Sum256(f.strips(&layers[i])); hex.EncodeToString(sum[:]) != layers[i].SHA256 {
			errs[i] = fmt.Errorf("int4: %s: matrix %s is damaged: SHA-256 %x…, want %.8s…", f.path, layers[i].Path, sum[:4], layers[i].SHA256)
		}
	})
	return errors.Join(errs...)
}

// Close unmaps the file: matrices must not be used any more. A second call does nothing.
func (f *File) Close() error {
	data, file := f.data, f.file
	f.data, f.file = nil, nil
	if data == nil {
		return nil
	}
	err := syscall.Munmap(data)
	if file != nil {
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		return fmt.Errorf("int4: %s: %w", f.path, err)
	}
	return nil
}
