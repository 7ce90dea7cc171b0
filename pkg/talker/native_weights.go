package talker

import (
	"fmt"
	"math"
	"runtime"
	"unsafe"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// form is a projection or table whose products and rows are another package's: kernels for packed weights.
type form interface {
	// Native describes the matrix, bias included, for a set of that package's kernels; "" is the fastest. The caller closes
	// the description, and uses it only while the form lives.
	Native(kernels string) (*native.Matrix, error)
}

// weights are the parameters that native kernels read where they lie. The first problem stays in err.
type weights struct {
	pool  *native.Pool
	pack  bool
	forms string          // kernels of forms
	of    map[any]*weight // by *nn.Param, or by *nn.Slot or *nn.Embedding of a form
	turns map[nn.Transform]*turn
	round int // of descriptions
	err   error
}

type weight struct {
	m     *native.Matrix
	name  string
	same  func() bool // whether what was described still stands there
	round int         // the last one that it was part of
}

// matrix describes a parameter [rows, cols]; again only where its tensor has been replaced.
func (w *weights) matrix(p *nn.Param, pack bool) *native.Matrix {
	t := p.T
	return w.described(p, p.Name, func() bool { return p.T == t }, func() (*native.Matrix, error) { return w.describe(p, pack && w.pack) })
}

func (w *weights) described(key any, name string, same func() bool, describe func() (*native.Matrix, error)) *native.Matrix {
	have := w.of[key]
	if have != nil {
		have.round = w.round
	}
	if have != nil && have.same() || w.err != nil {
		return have.matrix()
	}
	m, err := describe()
	if err != nil {
		w.err = fmt.Errorf("%s: %w", name, err)
		return have.matrix()
	}
	have.matrix().Close()
	w.of[key] = &weight{m, name, same, w.round}
	return m
}

func (w *weight) matrix() *native.Matrix {
	if w == nil {
		return nil
	}
	return w.m
}

func (w *weights) describe(p *nn.Param, pack bool) (*native.Matrix, error) {
	kind, at, err := elements(p)
	if err != nil {
		return nil, err
	}
	m, err := native.NewMatrix(kind, int(p.Shape[0]), int(p.Shape[1]), at)
	if err != nil || !pack {
		return m, err
	}
	if _, err := m.Pack(w.pool); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// elements is where a parameter's lie.
func elements(p *nn.Param) (native.Kind, unsafe.Pointer, error) {
	kind, err := kindOf(p)
	if err != nil {
		return 0, nil, err
	}
	if ok, err := p.T.IsContiguous(); err != nil || !ok {
		return 0, nil, fmt.Errorf("its elements do not lie row after row (%v)", err)
	}
	at, err := p.T.DataPtr()
	return kind, at, err
}

// slot describes a projection's matrix and bias, and the transform of its input.
func (w *weights) slot(s *nn.Slot) *native.Matrix {
	var m *native.Matrix
	switch p := s.P.(type) {
	case *nn.Linear:
		m = w.matrix(p.W, true)
		if p.B != nil && w.err == nil {
			w.err = m.SetBias(w.vector(p.B))
		}
	case form:
		was, params := s.P, nn.Params(s.P)
		had := make([]*ts.Tensor, len(params))
		for i, q := range params {
			had[i] = q.T
		}
		same := func() bool {
			for i, q := range params { // a bias, of which the description has a copy
				if q.T != had[i] {
					return false
				}
			}
			return s.P == was
		}
		m = w.described(s, s.Path, same, func() (*native.Matrix, error) { return p.Native(w.forms) })
	default:
		if w.err == nil {
			w.err = fmt.Errorf("%s is a %T, want a float matrix or one with kernels", s.Path, s.P)
		}
	}
	t := w.transform(s)
	if w.err == nil {
		w.err = m.SetTransform(t)
	}
	return m
}

// table describes an embedding's.
func (w *weights) table(e *nn.Embedding) *native.Matrix {
	if e.T == nil {
		return w.matrix(e.W, false)
	}
	was := e.T
	f, ok := was.(form)
	if !ok {
		if w.err == nil {
			w.err = fmt.Errorf("%s is a %T, want float numbers or a form with rows of its own", e.Path, e.T)
		}
		return nil
	}
	same := func() bool { return e.T == was }
	return w.described(e, e.Path, same, func() (*native.Matrix, error) { return f.Native(w.forms) })
}

// vector copies a gain or a bias.
func (w *weights) vector(p *nn.Param) []float32 {
	if w.err != nil {
		return nil
	}
	kind, at, err := elements(p)
	if err != nil {
		w.err = fmt.Errorf("%s: %w", p.Name, err)
		return nil
	}
	out := make([]float32, p.NumElements())
	if kind == native.F32 {
		copy(out, unsafe.Slice((*float32)(at), len(out)))
	} else {
		for i, v := range unsafe.Slice((*uint16)(at), len(out)) {
			out[i] = math.Float32frombits(uint32(v) << 16)
		}
	}
	runtime.KeepAlive(p.T)
	return out
}

func (w *weights) layers(d *nn.Decoder) []native.Layer {
	out := make([]native.Layer, len(d.Blocks))
	for i, b := range d.Blocks {
		a := b.Attn
		out[i] = native.Layer{
			Q: w.slot(a.QKV[0]), K: w.slot(a.QKV[1]), V: w.slot(a.QKV[2]), O: w.slot(a.O),
			Gate: w.slot(b.MLP.GateUp[0]), Up: w.slot(b.MLP.GateUp[1]), Down: w.slot(b.MLP.Down),
			InputNorm: w.vector(b.InputNorm.W), PostNorm: w.vector(b.PostNorm.W),
			QNorm: w.vector(a.QNorm.W), KNorm: w.vector(a.KNorm.W),
		}
	}
	return out
}

// forget drops what the last round no longer had.
func (w *weights) forget() {
	for key, have := range w.of {
		if have.round != w.round {
			have.m.Close()
			delete(w.of, key)
		}
	}
}

// foreign counts the matrices of other packages by their formats.
func (w *weights) foreign() map[string]int {
	n := make(map[string]int)
	for _, have := range w.of {
		if f := have.m.Format(); f != "" {
			n[f]++
		}
	}
	return n
}

// check tells whether a tensor has been replaced since it was described: the kernels would read freed memory.
func (w *weights) check() error {
	for _, have := range w.of {
		if !have.same() {
			return fmt.Errorf("%s has been replaced while speech was decoded; begin again with Prefill", have.name)
		}
	}
	return nil
}

func (w *weights) packed() int64 {
	n := int64(0)
	for _, have := range w.of {
		n += have.m.Packed()
	}
	return n
}

func (w *weights) close() {
	for _, have := range w.of {
		have.m.Close()
	}
	for _, t := range w.turns {
		t.n.Close()
	}
	w.of, w.turns = nil, nil
}
