package int4

import (
	"errors"
	"fmt"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
)

// Loaded is what FromCheckpoint put into a model.
type Loaded struct {
	File    *File // the matrices; nil where none was swapped in
	Swapped int   // projections with our kernels
	Left    []Left

	layers []*Linear
}

// FromCheckpoint is qat.FromCheckpoint for a model that infers on the CPU: where dir is a packed checkpoint, projections of
// the schemes that the kernels know get them, with matrices of the interleaved file ([Cached]). The checkpoint
// must have their tensors, as nn.Load then sees to, but none of them is read. Other quantized layers are named, and stay
// with their dequantized weights. The result is closed after the model. After an error the model is of no use.
func FromCheckpoint(m nn.Module, dir string, o SwapOptions) (*Loaded, error) {
	if err := qat.FromCheckpoint(m, dir); err != nil {
		return nil, err
	}
	out := &Loaded{}
	var err error
	for _, s := range nn.Slots(m) {
		p, ok := s.P.(*qat.Packed)
		if !ok {
			continue
		}
		if why := known(p); why != nil {
			out.Left = append(out.Left, Left{s.Path, why})
			continue
		}
		if out.File == nil {
			if out.File, err = Cached(dir); err != nil {
				return nil, err
			}
		}
		l, why, err := o.mapped(out.File, p)
		switch {
		case err != nil:
			return nil, errors.Join(err, out.Close())
		case why != nil:
			out.Left = append(out.Left, Left{s.Path, why})
		default:
			s.P, out.layers = l, append(out.layers, l)
			out.Swapped++
		}
	}
	return out, nil
}

// known tells why the kernels do not know a layer's scheme, without a look at its values.
func known(p *qat.Packed) error {
	plan := p.Plan()
	if err := Supports(plan.Out, plan.In, plan.Weight); err != nil {
		return err
	}
	return new(Matrix).SetInput(plan.Activation, 1)
}

// mapped is a projection with the file's matrix in the place of p, or the reason why p stays.
func (o SwapOptions) mapped(f *File, p *qat.Packed) (l *Linear, why, err error) {
	m, err := f.Matrix(p.Path())
	if err != nil {
		return nil, nil, err
	}
	if m == nil {
		return nil, f.why(p.Path()), nil
	}
	plan := p.Plan()
	if n, k := m.Shape(); n != plan.Out || k != plan.In || m.Scheme() != plan.Weight.Normal() {
		return nil, nil, fmt.Errorf("int4: %s: %s is [%d, %d] %v, want [%d, %d] %v", f.path, p.Path(), n, k, m.Scheme(), plan.Out, plan.In, plan.Weight)
	}
	if l, err = NewLinear(p.Path(), m, p.B, o.Kernels); err != nil {
		return nil, nil, err
	}
	p.B = nil
	for _, q := range nn.Params(p) {
		q.Outside = true
		l.stored = append(l.stored, q)
	}
	return l, nil, nil
}

// why the file has no matrix for a layer.
func (f *File) why(path string) error {
	for _, o := range f.Others() {
		if o.Path == path {
			return errors.New("int4: " + o.Why)
		}
	}
	return fmt.Errorf("int4: %s has no matrix for it", f.path)
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
