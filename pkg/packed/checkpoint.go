package packed

import (
	"errors"
	"fmt"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/int4"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/sugarme/gotch"
)

// Loaded is what FromCheckpoint put into a model.
type Loaded struct {
	File    *int4.File // the matrices of pkg/int4; nil where none was swapped in
	Swapped int        // projections with our kernels
	Left    []Left

	layers []*Linear
}

// FromCheckpoint is qat.FromCheckpoint for a model that infers on the CPU: where dir is a packed checkpoint, projections
// get our kernels, those of pkg/int4 with matrices of the interleaved file ([int4.Cached]), of which nothing is read; the
// others are read and laid out. The checkpoint must have the tensors of all of them, as nn.Load then sees to, but does not
// read them again. Layers without kernels are named, and stay with their dequantized weights. The result is closed after
// the model. After an error the model is of no use.
func FromCheckpoint(m nn.Module, dir string, o SwapOptions) (*Loaded, error) {
	if err := qat.FromCheckpoint(m, dir); err != nil {
		return nil, err
	}
	l := &loading{Loaded: new(Loaded), dir: dir, o: o}
	var err error
	for _, s := range nn.Slots(m) {
		if p, ok := s.P.(*qat.Packed); ok && err == nil {
			err = l.slot(s, p)
		}
	}
	if l.src != nil {
		err = errors.Join(err, l.src.Close())
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l.Loaded, nil
}

// loading is a checkpoint under way into a model.
type loading struct {
	*Loaded
	dir string
	o   SwapOptions
	src *ckpt.Reader // opened by the first layer that is read
}

func (l *loading) slot(s *nn.Slot, p *qat.Packed) error {
	w, err := l.mapped(p)
	if err == nil && w == nil {
		w, err = l.read(p)
	}
	var why refused
	switch {
	case errors.As(err, &why):
		l.Left = append(l.Left, Left{s.Path, why.error})
		return nil
	case err != nil:
		return err
	}
	x, err := NewLinear(p.Path(), w, p.B, l.o.Kernels)
	if err != nil {
		w.Close()
		return err
	}
	p.B = nil
	for _, q := range nn.Params(p) {
		q.Outside = true
		x.stored = append(x.stored, q)
	}
	s.P, l.layers = x, append(l.layers, x)
	l.Swapped++
	return nil
}

// mapped is the interleaved file's matrix for a layer; nil where it has none.
func (l *loading) mapped(p *qat.Packed) (Weight, error) {
	plan := p.Plan()
	if int4.Supports(plan.Out, plan.In, plan.Weight) != nil {
		return nil, nil
	}
	if l.File == nil {
		f, err := int4.Cached(l.dir)
		if err != nil {
			return nil, err
		}
		l.File = f
	}
	m, err := l.File.Matrix(p.Path())
	if err != nil || m == nil {
		return nil, err
	}
	if n, k := m.Shape(); n != plan.Out || k != plan.In || m.Scheme() != plan.Weight.Normal() {
		return nil, fmt.Errorf("packed: %s: %s is [%d, %d] %v, want [%d, %d] %v", l.File.Path(), p.Path(), n, k, m.Scheme(), plan.Out, plan.In, plan.Weight)
	}
	return m, nil
}

// read lays out what the checkpoint's safetensors hold of a layer.
func (l *loading) read(p *qat.Packed) (Weight, error) {
	if err := supports(p); err != nil {
		return nil, refused{err}
	}
	if l.src == nil {
		src, err := ckpt.Open(l.dir)
		if err != nil {
			return nil, fmt.Errorf("packed: %w", err)
		}
		l.src = src
	}
	bias := p.B
	p.B = nil // which the model loads
	defer func() {
		nn.Close(p)
		p.B = bias
	}()
	own := map[string]bool{}
	for _, q := range nn.Params(p) {
		own[q.Name] = true
	}
	ignore := func(name string) bool { return !own[name] }
	if err := nn.Load(p, l.src, nn.LoadOptions{DType: gotch.Float, Device: gotch.CPU, Ignore: ignore, Mapped: true}); err != nil {
		return nil, fmt.Errorf("packed: %s: %s: %w", l.dir, p.Path(), err)
	}
	return weigh(p)
}

// Close frees the projections, which must not be used any more, and closes the file.
func (l *Loaded) Close() error {
	if l == nil {
		return nil
	}
	for _, x := range l.layers {
		x.Close()
	}
	l.layers = nil
	if l.File == nil {
		return nil
	}
	return l.File.Close()
}
