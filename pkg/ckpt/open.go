package ckpt

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
)

// Source is what a loader needs of a checkpoint. Implementations may compute
// their tensors, e.g. dequantize packed ones.
type Source interface {
	// Infos lists the tensors in ascending order of their names.
	Infos() []Info
	// Bytes returns a tensor's row-major little-endian data. The slice is
	// read-only and valid until Close.
	Bytes(name string) (Info, []byte, error)
	// Close releases the data; slices that Bytes returned must not be used
	// afterwards.
	Close() error
}

// Copier is a Source that also copies data to where it is wanted. That is faster than to copy what Bytes returns, and
// leaves no pages of the file in the process's memory.
type Copier interface {
	Source
	// CopyAt fills dst with a tensor's data from byte off on. It may be called by several goroutines at a time.
	CopyAt(dst []byte, name string, off int64) error
}

// Placer is a Source whose tensors lie in files as they are, for who maps them.
type Placer interface {
	Source
	// Place is where a tensor's data begin.
	Place(name string) (Place, error)
}

// Place of a tensor in a file.
type Place struct {
	Path   string // opens the very file that the source has open, whatever has its name by now; valid until Close
	Size   int64  // of the file, in bytes
	Offset int64  // of the first byte of the data
}

// Header is what HeaderOnly knows of a checkpoint.
type Header struct {
	Path     string            // as given
	Infos    []Info            // ascending by name
	Metadata map[string]string // of all files; never nil
	Files    []string          // paths of the safetensors files, ascending
	Bytes    int64             // size of these files on disk, headers included
}

// HeaderOnly reads the headers of a checkpoint (see Open for what path may be)
// and neither maps nor reads tensor data: a 4 GB checkpoint costs a few
// hundred kB. The checks are the same as those of Open.
func HeaderOnly(path string) (*Header, error) {
	l, headers, err := readHeaders(path)
	if err != nil {
		return nil, err
	}
	return newHeader(path, l, headers), nil
}

// Reader is an opened checkpoint; it implements Copier and Placer.
type Reader struct {
	head  *Header
	index map[string]place
	files []*os.File
	maps  [][]byte
}

// place is where a tensor's data lies: bytes [begin, end) of map number file.
type place struct {
	info             Info
	file, begin, end int64
}

// Open maps a checkpoint into memory: a .safetensors file, an .index.json file
// or a folder that holds model.safetensors or model.safetensors.index.json.
// It reads and checks all headers; tensor data is read when it is touched.
// The files must not be changed in place while the Reader is open; Write
// replaces files by rename, which is safe.
func Open(path string) (*Reader, error) {
	l, headers, err := readHeaders(path)
	if err != nil {
		return nil, err
	}
	r := &Reader{head: newHeader(path, l, headers), index: map[string]place{}}
	for i, h := range headers {
		f, data, err := mapFile(l.files[i], h.size)
		if err != nil {
			r.Close()
			return nil, fmt.Errorf("ckpt: map %s: %w", l.files[i], err)
		}
		r.files, r.maps = append(r.files, f), append(r.maps, data)
		for _, e := range h.entries {
			r.index[e.Name] = place{e.Info, int64(i), h.data + e.begin, h.data + e.end}
		}
	}
	return r, nil
}

// Infos lists the tensors in ascending order of their names; the caller owns
// the slice.
func (r *Reader) Infos() []Info { return slices.Clone(r.head.Infos) }

// Info returns the description of one tensor; ok is false for an unknown name.
func (r *Reader) Info(name string) (info Info, ok bool) {
	p, ok := r.index[name]
	return p.info, ok
}

// Header returns what HeaderOnly would.
func (r *Reader) Header() *Header { return r.head }

// Metadata returns the string map that the files carry; never nil.
func (r *Reader) Metadata() map[string]string { return maps.Clone(r.head.Metadata) }

// Bytes returns a tensor's data as a read-only slice of the mapping, without a
// copy. Writing to it crashes; it is valid until Close.
func (r *Reader) Bytes(name string) (Info, []byte, error) {
	p, err := r.find(name)
	if err != nil {
		return Info{}, nil, err
	}
	return p.info, r.maps[p.file][p.begin:p.end:p.end], nil
}

// CopyAt implements Copier by reading the file. What goes wrong while reading, e.g. a file that was cut after it had
// been opened, is an error; touching the mapping would be a crash.
func (r *Reader) CopyAt(dst []byte, name string, off int64) error {
	p, err := r.find(name)
	if err != nil {
		return err
	}
	if n := p.end - p.begin; off < 0 || off > n || int64(len(dst)) > n-off {
		return fmt.Errorf("ckpt: %s: tensor %q has %d bytes, want %d from byte %d on", r.head.Path, name, n, len(dst), off)
	}
	switch n, err := r.files[p.file].ReadAt(dst, p.begin+off); {
	case n == len(dst):
		return nil
	case err == io.EOF:
		return fmt.Errorf("ckpt: %s: tensor %q: the file has become shorter since it was opened", r.head.Files[p.file], name)
	default:
		return fmt.Errorf("ckpt: tensor %q: %w", name, err)
	}
}

// Place implements Placer.
func (r *Reader) Place(name string) (Place, error) {
	p, err := r.find(name)
	if err != nil {
		return Place{}, err
	}
	return Place{fmt.Sprintf("/dev/fd/%d", r.files[p.file].Fd()), int64(len(r.maps[p.file])), p.begin}, nil
}

func (r *Reader) find(name string) (place, error) {
	p, ok := r.index[name]
	if !ok {
		return place{}, fmt.Errorf("ckpt: %s: no tensor %q", r.head.Path, name)
	}
	if r.maps == nil {
		return place{}, fmt.Errorf("ckpt: %s: closed", r.head.Path)
	}
	return p, nil
}

// Close unmaps and closes the files. A second call does nothing.
func (r *Reader) Close() error {
	var errs []error
	for i, m := range r.maps {
		if err := syscall.Munmap(m); err != nil {
			errs = append(errs, fmt.Errorf("ckpt: unmap %s: %w", r.head.Path, err))
		}
		if err := r.files[i].Close(); err != nil {
			errs = append(errs, fmt.Errorf("ckpt: %w", err))
		}
	}
	r.maps, r.files = nil, nil
	return errors.Join(errs...)
}

// readHeaders resolves path and reads every header of the checkpoint.
func readHeaders(path string) (*layout, []*fileHeader, error) {
	l, err := locate(path)
	if err != nil {
		return nil, nil, fmt.Errorf("ckpt: %w", err)
	}
	headers := make([]*fileHeader, len(l.files))
	for i, f := range l.files {
		if headers[i], err = headerOf(f); err != nil {
			return nil, nil, fmt.Errorf("ckpt: %w", err)
		}
	}
	if err := l.checkShards(headers); err != nil {
		return nil, nil, fmt.Errorf("ckpt: %w", err)
	}
	return l, headers, nil
}

func newHeader(path string, l *layout, headers []*fileHeader) *Header {
	out := &Header{Path: path, Files: l.files, Metadata: map[string]string{}}
	for _, h := range headers {
		maps.Copy(out.Metadata, h.metadata)
		out.Bytes += h.size
		for _, e := range h.entries {
			out.Infos = append(out.Infos, e.Info)
		}
	}
	slices.SortFunc(out.Infos, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// mapFile opens a file and maps its size bytes read-only. Both keep the file alive, also when its name is replaced.
func mapFile(path string, size int64) (f *os.File, data []byte, err error) {
	if f, err = os.Open(path); err != nil {
		return nil, nil, err
	}
	st, err := f.Stat()
	if err == nil && st.Size() != size {
		err = fmt.Errorf("changed while it was opened: %d bytes, had %d", st.Size(), size)
	}
	if err == nil {
		data, err = syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, data, nil
}
