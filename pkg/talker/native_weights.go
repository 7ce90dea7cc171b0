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

// weights are the parameters that native kernels read where they lie. The first problem stays in err.
type weights struct {
	pool *native.Pool
	pack bool
	of   map[*nn.Param]*weight
	err  error
}

type weight struct {
	t *ts.Tensor // where the matrix was described
	m *native.Matrix
}

// matrix describes a parameter [rows, cols]; again only where its tensor has been replaced.
func (w *weights) matrix(p *nn.Param, pack bool) *native.Matrix {
	have := w.of[p]
	if have != nil && have.t == p.T || w.err != nil {
		return have.matrix()
	}
	m, err := w.describe(p, pack && w.pack)
	if err != nil {
		w.err = fmt.Errorf("%s: %w", p.Name, err)
		return have.matrix()
	}
	have.matrix().Close()
	w.of[p] = &weight{p.T, m}
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

// slot describes a projection's matrix and bias.
func (w *weights) slot(s *nn.Slot) *native.Matrix {
	l, ok := s.P.(*nn.Linear)
	if !ok || s.Transform != nil {
		if w.err == nil {
			w.err = fmt.Errorf("%s is no plain matrix any more", s.Path)
		}
		return nil
	}
	m := w.matrix(l.W, true)
	if l.B != nil && w.err == nil {
		w.err = m.SetBias(w.vector(l.B))
	}
	return m
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

// check tells whether a tensor has been replaced since it was described: the kernels would read freed memory.
func (w *weights) check() error {
	for p, have := range w.of {
		if p.T != have.t {
			return fmt.Errorf("%s has been replaced while speech was decoded; begin again with Prefill", p.Name)
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
	w.of = nil
}
