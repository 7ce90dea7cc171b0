package gguf

import (
	"bufio"
	"fmt"
	"io"
	"os"
)

// Info describes a tensor of a file.
type Info struct {
	Name  string
	Type  Type
	Shape []int64 // outermost first
	Bytes int64
	at    int64 // in the file
}

// String formats an Info as "name Q4_0 [4 64]".
func (i Info) String() string { return fmt.Sprintf("%s %v %v", i.Name, i.Type, i.Shape) }

// Head is what a file says before its data.
type Head struct {
	Pairs   []Pair
	Tensors []Info // in the order of the file
}

// Get is the value of a key; ok is false for a key that is not there.
func (h *Head) Get(key string) (v any, ok bool) {
	for _, p := range h.Pairs {
		if p.Key == key {
			return p.Value, true
		}
	}
	return nil, false
}

// File is an opened file. Its methods may be called by several goroutines.
type File struct {
	Head
	path  string
	f     *os.File
	index map[string]int
}

// Open reads and checks the head of a file; data is read when it is asked for.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	file, err := open(path, f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("gguf: %s: %w", path, err)
	}
	return file, nil
}

func open(path string, f *os.File) (*File, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	h, err := Parse(bufio.NewReaderSize(f, 1<<20), st.Size())
	if err != nil {
		return nil, err
	}
	file := &File{Head: *h, path: path, f: f, index: map[string]int{}}
	for i, t := range h.Tensors {
		file.index[t.Name] = i
	}
	return file, nil
}

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }

// Info describes the tensor of a name; ok is false for an unknown one.
func (f *File) Info(name string) (info Info, ok bool) {
	i, ok := f.index[name]
	if !ok {
		return Info{}, false
	}
	return f.Tensors[i], true
}

// Bytes reads a tensor's data.
func (f *File) Bytes(name string) (Info, []byte, error) {
	info, ok := f.Info(name)
	if !ok {
		return Info{}, nil, fmt.Errorf("gguf: %s: no tensor %q", f.path, name)
	}
	b := make([]byte, info.Bytes)
	return info, b, f.ReadAt(b, name, 0)
}

// ReadAt fills dst with a tensor's data from byte off on.
func (f *File) ReadAt(dst []byte, name string, off int64) error {
	info, ok := f.Info(name)
	if !ok {
		return fmt.Errorf("gguf: %s: no tensor %q", f.path, name)
	}
	if off < 0 || off > info.Bytes || int64(len(dst)) > info.Bytes-off {
		return fmt.Errorf("gguf: %s: tensor %q has %d bytes, want %d from byte %d on", f.path, name, info.Bytes, len(dst), off)
	}
	if _, err := f.f.ReadAt(dst, info.at+off); err != nil {
		return fmt.Errorf("gguf: %s: tensor %q: %w", f.path, name, err)
	}
	return nil
}

// Parse reads the head of a file of size bytes and checks that its tensors are where the format wants them: one after the
// other, each at the next multiple of the alignment, all inside the file.
func Parse(r io.Reader, size int64) (*Head, error) {
	d := &decoder{r: r, left: size}
	b, err := d.bytes(8)
	if err != nil {
		return nil, err
	}
	if string(b[:4]) != magic {
		return nil, fmt.Errorf("begins with %q, want %q", b[:4], magic)
	}
	if v := uint32(b[4]) | uint32(b[5])<<8 | uint32(b[6])<<16 | uint32(b[7])<<24; v != version {
		return nil, fmt.Errorf("version %d, want %d, little-endian", v, version)
	}
	tensors, err := d.u64()
	if err != nil {
		return nil, err
	}
	pairs, err := d.u64()
	if err != nil {
		return nil, err
	}
	if tensors > uint64(size)/24 || pairs > uint64(size)/12 { // each takes at least that much
		return nil, fmt.Errorf("truncated: %d tensors and %d pairs in a file of %d bytes", tensors, pairs, size)
	}
	h := &Head{}
	seen := map[string]bool{}
	for range pairs {
		p, err := d.pair()
		if err != nil {
			return nil, err
		}
		if seen[p.Key] {
			return nil, fmt.Errorf("key %q is there twice", p.Key)
		}
		seen[p.Key] = true
		h.Pairs = append(h.Pairs, p)
	}
	align, err := h.alignment()
	if err != nil {
		return nil, err
	}
	return h, h.tensors(d, tensors, align, size)
}

func (d *decoder) pair() (p Pair, err error) {
	if p.Key, err = d.text(); err != nil {
		return p, err
	}
	kind, err := d.u32()
	if err != nil {
		return p, fmt.Errorf("key %q: %w", p.Key, err)
	}
	if p.Value, err = d.value(kind); err != nil {
		return p, fmt.Errorf("key %q: %w", p.Key, err)
	}
	return p, nil
}

func (h *Head) alignment() (int64, error) {
	v, ok := h.Get(AlignmentKey)
	if !ok {
		return alignment, nil
	}
	a, ok := v.(uint32)
	if !ok || a < 8 || a&(a-1) != 0 || a > 1<<20 {
		return 0, fmt.Errorf("key %q is %v, want a power of two from 8 on, as uint32", AlignmentKey, v)
	}
	return int64(a), nil
}

func (h *Head) tensors(d *decoder, n uint64, align, size int64) error {
	seen := map[string]bool{}
	next := int64(0) // where the next tensor's data must begin, after the head
	var offsets []int64
	for range n {
		t, offset, err := d.info()
		if err != nil {
			return err
		}
		if seen[t.Name] {
			return fmt.Errorf("tensor %q is there twice", t.Name)
		}
		seen[t.Name] = true
		if offset != uint64(next) {
			return fmt.Errorf("tensor %q: data at %d, want %d: the next multiple of the alignment %d", t.Name, offset, next, align)
		}
		if t.Bytes > size {
			return fmt.Errorf("truncated: tensor %q takes %d bytes in a file of %d", t.Name, t.Bytes, size)
		}
		offsets = append(offsets, next)
		if next += (t.Bytes + align - 1) / align * align; next > size+align {
			return fmt.Errorf("truncated: tensor %q ends %d bytes into the data of a file of %d", t.Name, next, size)
		}
		h.Tensors = append(h.Tensors, t)
	}
	data := (d.at + align - 1) / align * align
	for i := range h.Tensors {
		t := &h.Tensors[i]
		if t.at = data + offsets[i]; t.at > size-t.Bytes {
			return fmt.Errorf("truncated: tensor %q ends at %d in a file of %d bytes", t.Name, t.at+t.Bytes, size)
		}
	}
	return nil
}

func (d *decoder) info() (t Info, offset uint64, err error) {
	fail := func(err error) (Info, uint64, error) { return t, 0, fmt.Errorf("tensor %q: %w", t.Name, err) }
	if t.Name, err = d.text(); err != nil {
		return fail(err)
	}
	dims, err := d.u32()
	if err != nil {
		return fail(err)
	}
	if dims < 1 || dims > maxDims {
		return fail(fmt.Errorf("%d dimensions, want 1 to %d", dims, maxDims))
	}
	t.Shape = make([]int64, dims)
	for i := range t.Shape {
		v, err := d.u64()
		if err != nil {
			return fail(err)
		}
		t.Shape[int(dims)-1-i] = int64(v) // too large a number is negative now, which Size refuses
	}
	kind, err := d.u32()
	if err != nil {
		return fail(err)
	}
	t.Type = Type(kind)
	if t.Bytes, err = t.Type.Size(t.Shape); err != nil {
		return fail(err)
	}
	if offset, err = d.u64(); err != nil {
		return fail(err)
	}
	return t, offset, nil
}
