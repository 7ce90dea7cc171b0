package int4

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/qat"
)

// BuildFile makes the interleaved file of the packed checkpoint in dir and puts it at path, atomically. Codes, scales and
// zero points are the checkpoint's, bit for bit. Layers that this package's kernels cannot compute with are listed, with the reason.
// The bytes depend on the checkpoint only, apart from the stamp (see Cached).
func BuildFile(path, dir string) error {
	b, err := newBuild(dir)
	if err != nil {
		return err
	}
	defer b.src.Close()
	out, err := fsx.Create(path)
	if err != nil {
		return fmt.Errorf("int4: %w", err)
	}
	defer out.Abort()
	if err := b.write(out); err != nil {
		return err
	}
	if err := out.Commit(); err != nil {
		return fmt.Errorf("int4: %w", err)
	}
	return nil
}

// build is a file under way.
type build struct {
	dir   string
	src   *source
	stamp [sha256.Size]byte
	index fileIndex
	plans []qat.LayerPlan // of index.Layers
}

// noHash keeps the place of a hash that is not known yet.
var noHash = strings.Repeat("0", 2*sha256.Size)

func newBuild(dir string) (*build, error) {
	stamp, err := stampOf(dir) // before anything is read: what changes from now on makes the file stale
	if err != nil {
		return nil, err
	}
	src, err := openSource(dir)
	if err != nil {
		return nil, err
	}
	b := &build{dir: dir, src: src, stamp: stamp}
	for _, l := range src.layers {
		if err := b.add(l); err != nil {
			src.Close()
			return nil, fmt.Errorf("int4: %s: %w", dir, err)
		}
	}
	if len(b.plans)+len(b.index.Others) == 0 {
		src.Close()
		return nil, fmt.Errorf("int4: %s has no quantized layer", dir)
	}
	return b, nil
}

// add takes a layer among the matrices, or among those that this package's kernels cannot compute with.
func (b *build) add(l qat.LayerPlan) error {
	input, why := b.src.suits(l)
	if why == nil {
		size, err := Size(l.Out, l.In, l.Weight)
		b.index.Layers = append(b.index.Layers, Layer{Path: l.Path, Rows: l.Out, Cols: l.In, Weight: l.Weight,
			Activation: l.Activation, InputScale: input, Bytes: size, SHA256: noHash, Source: noHash})
		b.plans = append(b.plans, l)
		return err
	}
	t, err := b.src.read(l)
	if err == nil {
		b.index.Others = append(b.index.Others, Other{l.Path, strings.TrimPrefix(why.Error(), "int4: "), t.hash})
	}
	return err
}

// write writes the whole file: each matrix to its place, as they get ready, and the header last.
func (b *build) write(out io.WriterAt) error {
	if _, err := b.index.encode(b.stamp); err != nil { // places the matrices
		return err
	}
	layers := b.index.Layers
	errs := make([]error, len(layers))
	each(len(layers), tensor.Threads(), func(i int) {
		strips := make([]byte, layers[i].Bytes)
		if errs[i] = b.fill(i, strips); errs[i] == nil {
			_, errs[i] = out.WriteAt(strips, layers[i].Offset)
		}
	})
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("int4: %s: %w", b.dir, err)
	}
	head, err := b.index.encode(b.stamp)
	if err != nil {
		return err
	}
	_, err = out.WriteAt(head, 0)
	return err
}

// fill lays out matrix i and notes its hashes.
func (b *build) fill(i int, strips []byte) error {
	l := &b.index.Layers[i]
	t, err := b.src.read(b.plans[i])
	if err != nil {
		return err
	}
	w, err := t.packed(b.plans[i])
	if err == nil {
		err = Put(strips, w)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", l.Path, err)
	}
	sum := sha256.Sum256(strips)
	l.SHA256, l.Source = hex.EncodeToString(sum[:]), t.hash
	return nil
}
