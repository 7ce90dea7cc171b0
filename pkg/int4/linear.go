package int4

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
	M *Matrix
	B *nn.Param // <path>.bias [out], or nil

	path    string
	stored  []*nn.Param // the weight's tensors of a checkpoint, whose values are M's; see FromCheckpoint
	kernels string

	describing sync.Mutex // several goroutines may read one model
	native     *native.Matrix
	bias       *ts.Tensor // that native has a copy of
}

// NewLinear computes with m, which then belongs to it, and adds b, or nothing where b is nil. kernels is a name out of
// [Kernels]; "" is the fastest.
func NewLinear(path string, m *Matrix, b *nn.Param, kernels string) (*Linear, error) {
	if _, err := kernelsOf(kernels); err != nil {
		return nil, err
	}
	if n, _ := m.Shape(); b != nil && b.NumElements() != n {
		return nil, fmt.Errorf("int4: %s: a bias of %d for %d rows", path, b.NumElements(), n)
	}
	return &Linear{M: m, B: b, path: path, kernels: kernels}, nil
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
	w, err := l.M.Dequantize()
	c.Check("int4", err)
	n, k := l.M.Shape()
	return c.FromFloats(w, n, k)
}

// Native describes the matrix and its bias for native decoders; "" stands for the layer's own kernels. The caller closes
// the description, and uses it only while the layer lives.
func (l *Linear) Native(kernels string) (*native.Matrix, error) {
	if kernels == "" {
		kernels = l.kernels
	}
	var bias []float32
	if l.B != nil {
		var err error
		if bias, err = tensor.Floats(l.B.T); err != nil {
			return nil, fmt.Errorf("%s: %w", l.B.Name, err)
		}
	}
	m, err := l.M.Native(kernels, bias)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.path, err)
	}
	return m, nil
}

// Forward maps x [..., in] to [..., out] in x's dtype; the arithmetic is float32 or integer ([Matrix.SetInput]).
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
	c.Check("int4", err)
	if records && tensor.GradEnabled() {
		c.Fail("int4", "%s has no gradients: train with the fake-quantized or the packed layer", path)
	}
	if d := c.Device(x); d.Name != gotch.CPU.Name {
		c.Fail("int4", "%s: input on device %s, want the CPU", path, d.Name)
	}
	shape := c.Shape(x)
	_, in := layers[0].M.Shape()
	if len(shape) == 0 || shape[len(shape)-1] != in {
		c.Fail("int4", "%s: input %v, want width %d", path, shape, in)
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
		c.Check("int4", err)
		n, _ := l.M.Shape()
		width += n
	}
	p, err := borrow(tensor.Threads())
	c.Check("int4", err)
	defer giveBack(p)
	flat := c.Contiguous(c.To(x, gotch.Float))
	all := c.Zeros(gotch.Float, rows*width) // the results, one after the other
	from, to := floats(c, flat, rows*in), floats(c, all, rows*width)
	c.Check("int4: "+path, p.ApplyGroup(matrices, from, to))
	runtime.KeepAlive(flat)
	runtime.KeepAlive(all)
	ys, at := make([]*ts.Tensor, len(layers)), int64(0)
	for i, l := range layers {
		n, _ := l.M.Shape()
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
		shape[len(shape)-1], _ = l.M.Shape()
		ys[i] = c.Zeros(x.DType(), shape...)
	}
	return ys
}

// floats are a contiguous tensor's values where they lie.
func floats(c *nn.Context, t *ts.Tensor, n int64) []float32 {
	at, err := t.DataPtr()
	c.Check("int4", err)
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
	l.M.Close()
}

// idle are the pools that no product uses, by their threads. These sleep when there is nothing to do, and live as long as
// the process.
var idle struct {
	sync.Mutex
	of map[int][]*native.Pool
}

// borrow is a pool of n threads for one product. Products at the same time have one each, so that none waits for another.
func borrow(n int) (*native.Pool, error) {
	idle.Lock()
	defer idle.Unlock()
	if free := idle.of[n]; len(free) > 0 {
		idle.of[n] = free[:len(free)-1]
		return free[len(free)-1], nil
	}
	return native.NewPool(n, "")
}

func giveBack(p *native.Pool) {
	idle.Lock()
	defer idle.Unlock()
	if idle.of == nil {
		idle.of = make(map[int][]*native.Pool)
	}
	idle.of[p.Threads()] = append(idle.of[p.Threads()], p)
}
