package talker

import (
	"errors"
	"time"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/pkg/nn"
)

// engine is what the native steppers of one model share: threads, weights and both decoders.
type engine struct {
	m                 *Model
	pool              *native.Pool
	weights           weights
	talker, predictor *native.Stack
	head, adapter     *native.Matrix // adapter is nil where the widths are equal
	frames            *native.Predictor
	spent             Spent
}

// book adds the time since began.
func book(to *time.Duration, began time.Time) { *to += time.Since(began) }

// newEngine also returns the engine with an error, for close.
func newEngine(m *Model, pool *native.Pool, o StepperOptions) (*engine, error) {
	e := &engine{m: m, pool: pool, weights: weights{
		pool: pool, pack: o.Pack, forms: o.PackedKernels, of: make(map[any]*weight), turns: make(map[nn.Transform]*turn),
	}}
	cache, err := o.Cache.kind(m.DType)
	if err != nil {
		return e, err
	}
	if e.talker, err = native.NewStack(pool, m.Config.Talker.native(cache)); err != nil {
		return e, err
	}
	if e.predictor, err = native.NewStack(pool, m.Config.Talker.Predictor.native(cache)); err != nil {
		return e, err
	}
	return e, e.bind()
}

func (s *Stack) native(cache native.Kind) native.Shape {
	return native.Shape{
		Layers: s.Layers, Width: int(s.Hidden), Heads: int(s.Heads), KVHeads: int(s.KVHeads), HeadDim: int(s.HeadDim),
		Inner: int(s.Intermediate), Eps: s.Eps, Frequency: s.rotary().Frequencies(), Cache: cache,
	}
}

// bind takes the parameters as they are now.
func (e *engine) bind() error {
	w, m := &e.weights, e.m
	if w.of == nil {
		return errors.New("the steppers have been closed")
	}
	if err := m.Native(); err != nil {
		return err
	}
	e.talker.Unbind() // what they point to is freed as it is described anew
	e.predictor.Unbind()
	w.err = nil
	w.round++
	talker, predictor := w.layers(m.Decoder), w.layers(m.Predictor.Decoder)
	norm, cpNorm := w.vector(m.Decoder.Norm.W), w.vector(m.Predictor.Decoder.Norm.W)
	turn, cpTurn := w.rotation(m.Decoder), w.rotation(m.Predictor.Decoder)
	e.head = w.slot(m.CodecHead)
	tables := []*native.Matrix{w.table(m.CodecEmbedding)}
	var heads []*native.Matrix
	for j, h := range m.Predictor.Heads {
		heads = append(heads, w.slot(h))
		tables = append(tables, w.table(m.Predictor.Embeddings[j]))
	}
	if m.Predictor.Adapter != nil {
		e.adapter = w.slot(m.Predictor.Adapter)
	}
	if w.err != nil {
		return w.err
	}
	if err := e.talker.Bind(talker, norm, turn); err != nil {
		return err
	}
	if err := e.predictor.Bind(predictor, cpNorm, cpTurn); err != nil {
		return err
	}
	frames, err := native.NewPredictor(e.predictor, e.adapter, heads, tables)
	if err != nil {
		return err
	}
	e.frames.Close()
	e.frames = frames
	w.forget()
	return nil
}

func (e *engine) close() {
	e.frames.Close()
	e.talker.Close()
	e.predictor.Close()
	e.weights.close()
	e.pool.Close()
}

func (e *engine) stepper(stack *native.Stack, out int64, prefill, step *time.Duration) *nativeStepper {
	return &nativeStepper{e: e, stack: stack, width: e.m.Config.Talker.Hidden, out: out, prefilled: prefill, stepped: step}
}
