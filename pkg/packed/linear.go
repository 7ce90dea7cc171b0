package packed

import (
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Linear is a projection of packed weights on the CPU that our kernels compute with, any number of rows. It is for
// inference: gradients do not flow through it.
type Linear struct {
	W Weight
	B *nn.Param // <path>.bias [out], or nil

	path    string
	stored  []*nn.Param // the weight's tensors of a checkpoint, whose values are W's; see FromCheckpoint
	kernels string

	describing sync.Mutex // several goroutines may read one model
	native     *native.Matrix
	bias       *ts.Tensor // that native has a copy of
}

// NewLinear computes with w, which then belongs to it, and adds b, or nothing where b is nil. name is that of a set of
// kernels ([SwapOptions]).
func NewLinear(path string, w Weight, b *nn.Param, name string) (*Linear, error) {
	if n, _ := w.Shape(); b != nil && b.NumElements() != n {
		return nil, fmt.Errorf("packed: %s: a bias of %d for %d rows", path, b.NumElements(), n)
	}
	d, err := w.Native(kernels(w, name), nil) // whether there are such kernels
	if err != nil {
		return nil, fmt.Errorf("packed: %s: %w", path, err)
	}
	d.Close()
	return &Linear{W: w, B: b, path: path, kernels: name}, nil
}

// Path is the layer's place in the tree.
func (l *Linear) Path() string { return l.path }

// Visit shows the bias; the weight is no tensor, though a checkpoint may have to have some for it.
func (l *Linear) Visit(v nn.Visitor) {
	for _, p := range l.stored {
		p.Visit(v)
	}
	l.B.Visit(v)
}

// Weight is the dequantized weight [out, in] in float32.
func (l *Linear) Weight(c *nn.Context) *ts.Tensor {
	w, err := l.W.Dequantize()
	c.Check("packed", err)
	n, k := l.W.Shape()
	return c.FromFloats(w, n, k)
}

// Native describes the matrix and its bias for native decoders; "" stands for the layer's own kernels. The caller closes
// the description, and uses it only while the layer lives.
func (l *Linear) Native(name string) (*native.Matrix, error) {
	if name == "" {
		name = l.kernels
	}
	var bias []float32
	if l.B != nil {
		var err error
		if bias, err = tensor.Floats(l.B.T); err != nil {
			return nil, fmt.Errorf("%s: %w", l.B.Name, err)
		}
	}
	m, err := l.W.Native(kernels(l.W, name), bias)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.path, err)
	}
	return m, nil
}

// Forward maps x [..., in] to [..., out] in x's dtype; the arithmetic is float32, or integer where the input is
// quantized.
func (l *Linear) Forward(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	return forward(c, []*Linear{l}, x)[0]
}

// ForwardGroup quantizes an input that peers share once; nil where they are not all of this kind.
func (l *Linear) ForwardGroup(c *nn.Context, peers []nn.Projection, x *ts.Tensor) []*ts.Tensor {
	all := make([]*Linear, len(peers))
	for i, p := range peers {
		q, ok := p.(*Linear)
		if !ok {
			return nil
		}
		all[i] = q
	}
	return forward(c, all, x)
}

func forward(c *nn.Context, layers []*Linear, x *ts.Tensor) []*ts.Tensor {
	path := layers[0].path
	records, err := x.RequiresGrad()
	c.Check("packed", err)
	if records && tensor.GradEnabled() {
		c.Fail("packed", "%s has no gradients: train with the fake-quantized or the packed layer", path)
	}
	if d := c.Device(x); d.Name != gotch.CPU.Name {
		c.Fail("packed", "%s: input on device %s, want the CPU", path, d.Name)
	}
	shape := c.Shape(x)
	_, in := layers[0].W.Shape()
	if len(shape) == 0 || shape[len(shape)-1] != in {
		c.Fail("packed", "%s: input %v, want width %d", path, shape, in)
	}
	rows := int64(1)
	for _, n := range shape[:len(shape)-1] {
		rows *= n
	}
	if rows == 0 {
		return empty(c, layers, x, shape)
	}
	matrices, width := make([]*native.Matrix, len(layers)), int64(0)
	for i, l := range layers {
		matrices[i], err = l.described()
		c.Check("packed", err)
		n, _ := l.W.Shape()
		width += n
	}
	p, err := borrow(tensor.Threads())
	c.Check("packed", err)
	defer giveBack(p)
	flat := c.Contiguous(c.To(x, gotch.Float))
	all := c.Zeros(gotch.Float, rows*width) // the results, one after the other
	from, to := floats(c, flat, rows*in), floats(c, all, rows*width)
	c.Check("packed: "+path, p.ApplyGroup(matrices, from, to))
	runtime.KeepAlive(flat)
	runtime.KeepAlive(all)
	ys, at := make([]*ts.Tensor, len(layers)), int64(0)
	for i, l := range layers {
		n, _ := l.W.Shape()
		y := all
		if len(layers) > 1 {
			y = c.Narrow(all, 0, at, rows*n)
		}
		shape[len(shape)-1] = n
		ys[i] = c.To(c.Reshape(y, shape...), x.DType())
		at += rows * n
	}
	return ys
}

func empty(c *nn.Context, layers []*Linear, x *ts.Tensor, shape []int64) []*ts.Tensor {
	ys := make([]*ts.Tensor, len(layers))
	for i, l := range layers {
		shape[len(shape)-1], _ = l.W.Shape()
		ys[i] = c.Zeros(x.DType(), shape...)
	}
	return ys
}

// floats are a contiguous tensor's values where they lie.
func floats(c *nn.Context, t *ts.Tensor, n int64) []float32 {
	at, err := t.DataPtr()
	c.Check("packed", err)
	return unsafe.Slice((*float32)(at), n)
}

// described is the layer's matrix with its present bias.
func (l *Linear) described() (*native.Matrix, error) {
	l.describing.Lock()
	defer l.describing.Unlock()
	var bias *ts.Tensor
	if l.B != nil {
		bias = l.B.T
	}
	if l.native != nil && bias == l.bias {
		return l.native, nil
	}
	m, err := l.Native("")
	if err != nil {
		return nil, err
	}
	l.native.Close()
	l.native, l.bias = m, bias
	return m, nil
}

// Close frees the weight. The bias stays, for it is a parameter of the model.
func (l *Linear) Close() {
	l.native.Close()
	l.native = nil
	l.W.Close()
}
